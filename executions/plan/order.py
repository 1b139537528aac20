"""The order of step runs, and the steps that they are runs of, by path alone."""

from __future__ import annotations

from collections.abc import Iterator

from core_orchestration.definition import Step
from executions.paths import UNDO, undone
from executions.plan.compiled import ONLY_BODY, Body, CompiledStep
from executions.plan.placed import Plan

_LAST = 1 << 30


def find_step(plan: Plan, path: str) -> Step | None:
    """Find the step at a path, whatever frames it runs in; None for no path of these."""
    *_, last = _trace(plan, path)
    return last[0].step if last[0] else None


def rank(plan: Plan, path: str) -> tuple[tuple[int, int, str], ...]:
    """Sort paths as the steps stand, those of a body behind the step that holds it."""
    return tuple(
        (one.ordinal if one else _LAST, _number(one, name), name)
        for one, name in _trace(plan, path)
    )


def _number(one: CompiledStep | None, name: str) -> int:
    """Give the frames of a step numbers in their order; the step itself comes first."""
    if name.isdigit():
        return int(name)
    if one is None or name not in one.bodies:
        return -1
    return list(one.bodies).index(name)


def _trace(plan: Plan, path: str) -> Iterator[tuple[CompiledStep | None, str]]:
    """Follow a path from the top: each step on it, and the frame of it that is next."""
    body: Body | None = plan.body
    for part in path.split("/"):
        key, _, rest = part.partition("[")
        one, name = (body.by_key.get(key) if body else None), rest.removesuffix("]")
        yield one, name
        body = plan.beside(key).body if key in plan.BESIDE else _inside(one, name)


def _inside(one: CompiledStep | None, name: str) -> Body | None:
    if one is None:
        return None
    if one.step.key == UNDO:
        name = undone(name).rpartition("/")[2]
    return one.bodies.get(ONLY_BODY) or one.bodies.get(name)
