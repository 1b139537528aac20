"""`branch` and `parallel` with a body: some of the branches, or all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, islice
from json import dumps
from typing import Any

from executions.bodies.base import (
    Decision,
    EndedFrame,
    Finish,
    NewFrame,
    Scene,
    begins_with,
)
from executions.bodies.fanning import Fan
from executions.plan.compiled import CompiledStep
from executions.plan.readers import case_name

_ALL = Fan(window=None, enough=None, forgiving=False)


class _Branch:
    hears_outputs = False

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        names = _chosen(step, scene)
        note = {"branches": names}
        if not names:
            return Decision(note=note, finish=Finish(skipped=True))
        return _ALL.begin(_frames(step, scene, names), note=note)

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        return _ALL.hear(state, ended)

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        if step.step.config.get("mode", "first") == "all":
            return {frame.name: frame.output for frame in frames}
        return frames[0].output


class _Parallel:
    hears_outputs = False

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        frames = _frames(step, scene, list(step.bodies))
        return _fan(step).begin(frames)

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        return _fan(step).hear(state, ended, list(step.bodies))

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        return {
            frame.name: frame.output if frame.completed else None for frame in frames
        }


def _fan(step: CompiledStep) -> Fan:
    config = step.step.config
    join = config.get("join", "all")
    enough = {"all": None, "any": 1, "n_of_m": config.get("n")}[join]
    return Fan(
        window=config.get("max_parallel"), enough=enough, forgiving=join != "all"
    )


def _frames(step: CompiledStep, scene: Scene, names: Sequence[str]) -> list[NewFrame]:
    given = begins_with(step, scene)
    return [
        NewFrame(name=name, number=number, given=given)
        for number, name in enumerate(names)
    ]


def _chosen(step: CompiledStep, scene: Scene) -> list[str]:
    config = step.step.config
    if "weights" in config:
        return [_drawn(step, scene, config["weights"])]
    matching = _matching(step, scene)
    if config.get("mode", "first") == "first":
        chosen = list(islice(matching, 1))
    else:
        chosen = list(dict.fromkeys(matching))
    otherwise = config.get("else")
    return chosen or ([otherwise] if otherwise else [])


def _matching(step: CompiledStep, scene: Scene) -> Iterator[str]:
    for place, case in enumerate(step.step.config.get("cases", ())):
        if scene.holds(case_name(place)):
            yield case["branch"]


def _drawn(step: CompiledStep, scene: Scene, weights: Mapping[str, float]) -> str:
    """
    Draw a branch by weight: from a key's hash, so that equal keys draw alike.

    Without a sticky key it is the execution's id, which makes a retry draw alike, too.
    """
    key = scene.render("sticky") if "sticky" in step.templates else scene.execution_id
    text = dumps([step.step.key, key], sort_keys=True)
    drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
    names = sorted(weights)
    bounds = list(accumulate(weights[name] for name in names))
    at = drawn * bounds[-1]
    return next(
        (name for name, bound in zip(names, bounds, strict=True) if at < bound),
        names[-1],
    )


BRANCH, PARALLEL = _Branch(), _Parallel()
