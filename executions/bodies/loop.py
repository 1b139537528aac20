"""`loop`: the body again and again, one turn after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executions.bodies.base import (
    Decision,
    EndedFrame,
    Fault,
    Finish,
    NewFrame,
    Scene,
    begins_with,
)
from executions.plan.compiled import CompiledStep
from roles.problems import kind_of

_NOTHING: Mapping[str, Any] = {}


class _Loop:
    hears_outputs = True

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        state = {"turns": 0, "count": _count(step, scene)}
        beginning = begins_with(step, scene)
        following = self._next(step, scene, state, last=None, beginning=beginning)
        if isinstance(following, Finish):
            nothing: Any = [] if _collects_all(step) else None
            error = following.error
            return Decision(state=state, finish=Finish(output=nothing, error=error))
        return _turn(state, {**following, **beginning})

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        turn = ended[-1]
        state = {**state, "turns": turn.number + 1}
        if not turn.completed:
            return Decision(state=state, finish=Finish(error=turn.error))
        if turn.broken or (
            "until" in step.conditions and scene.holds_inside(turn.name, "until")
        ):
            return Decision(state=state, finish=_finish(step, turn))
        following = self._next(step, scene, state, last=turn.output)
        if not isinstance(following, Finish):
            return _turn(state, following)
        finish = following if following.error else _finish(step, turn)
        return Decision(state=state, finish=finish)

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        return [frame.output for frame in frames if frame.completed]

    def _next(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        *,
        last: Any,
        beginning: Mapping[str, Any] = _NOTHING,
    ) -> Mapping[str, Any] | Finish:
        """Say what the next turn is given; without one, how the loop ends."""
        index = state["turns"]
        given = {"loop": {"index": index, "last": last}}
        if "while" in step.conditions and not scene.holds(
            "while", {**given, **beginning}
        ):
            return Finish()
        if state["count"] is not None and index >= state["count"]:
            return Finish()
        if index < step.step.config["max_iterations"]:
            return given
        return _at_the_limit(step)


def _turn(state: Mapping[str, Any], given: Mapping[str, Any]) -> Decision:
    index = state["turns"]
    frame = NewFrame(name=index, number=index, given=given)
    return Decision(make=[frame], start=[index], state=state)


def _finish(step: CompiledStep, turn: EndedFrame) -> Finish:
    if _collects_all(step):
        return Finish(gathered=True)
    return Finish(output=turn.output)


def _collects_all(step: CompiledStep) -> bool:
    return bool(step.step.config.get("collect") == "all")


def _count(step: CompiledStep, scene: Scene) -> int | None:
    if "count" not in step.templates:
        return None
    count = scene.render("count")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        wrong = count if isinstance(count, int) else kind_of(count)
        raise Fault("bad_count", f"count must be a whole number, not {wrong}.")
    return count


def _at_the_limit(step: CompiledStep) -> Finish:
    limit = step.step.config["max_iterations"]
    if step.step.config.get("on_limit", "fail") == "continue":
        return Finish()
    message = f"max_iterations ({limit}) turns were not enough."
    return Finish(error={"type": "max_iterations", "message": message})


LOOP = _Loop()
