"""`map`: the body once per item of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executions.bodies.base import Decision, EndedFrame, Fault, Finish, NewFrame, Scene
from executions.bodies.fanning import Fan
from executions.plan.compiled import CompiledStep
from roles.problems import kind_of

WINDOW = 25


class _Map:
    hears_outputs = False

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        items = scene.render("items")
        if not isinstance(items, list):
            raise Fault("bad_items", f"items must be a list, not {kind_of(items)}.")
        note = {"items": len(items)}
        if not items:
            return Decision(note=note, finish=Finish(output=[]))
        frames = [
            NewFrame(name=place, number=place, given={"item": item, "index": place})
            for place, item in enumerate(items)
        ]
        return _fan(step).begin(frames, note=note)

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        return _fan(step).hear(state, ended)

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        config = step.step.config
        if config.get("item_errors") == "continue" and "stop_after" not in config:
            return [frame.output if frame.completed else None for frame in frames]
        return [frame.output for frame in frames if frame.completed]


def _fan(step: CompiledStep) -> Fan:
    config = step.step.config
    enough = config.get("stop_after")
    return Fan(
        window=config.get("max_parallel", WINDOW),
        enough=enough,
        forgiving=enough is not None or config.get("item_errors", "fail") != "fail",
    )


MAP = _Map()
