"""What undoes steps: one after the other, the last one that was done first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executions.bodies.base import Decision, EndedFrame, Finish, NewFrame, Scene
from executions.bodies.fanning import Fan
from executions.paths import undo_name
from executions.plan.compiled import CompiledStep

_ONE_BY_ONE = Fan(window=1, enough=None, forgiving=True)


class _Undo:
    hears_outputs = False

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        done = scene.done(list(step.bodies))
        if not done:
            return Decision(finish=Finish(skipped=True))
        frames = [
            NewFrame(name=undo_name(path), number=number, given={"output": output})
            for number, (path, output) in enumerate(done)
        ]
        names = [frame.name for frame in frames]
        decision = _ONE_BY_ONE.begin(frames, note={"steps": [path for path, _ in done]})
        return Decision(
            make=decision.make,
            start=decision.start,
            state={**(decision.state or {}), "names": names},
            note=decision.note,
        )

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        return _ONE_BY_ONE.hear(state, ended, state["names"])

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        return {"undone": state["completed"], "failed": state["failed"]}


UNDO = _Undo()
