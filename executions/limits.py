"""How much one execution may grow: the installation's limits, or an orchestration's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from django.conf import settings

from core_orchestration.definition import Definition
from executions.bodies import Decision, Fault
from executions.database import fetch
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.plan import PlannedStep

# What an error is called, by the limit that was reached.
_TYPES = {
    "context_bytes": "context_too_large",
    "fan_out": "too_many_items",
    "iterations": "too_many_iterations",
    "steps": "too_many_steps",
}
# A loop is looked at every so many turns: to count is not free.
_EVERY = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an execution may come to at most."""

    steps: int
    fan_out: int
    depth: int
    iterations: int
    context_bytes: int

    @classmethod
    def of(cls, definition: Definition) -> Limits:
        """Take an orchestration's own limits where they are less."""
        own = definition.limits
        return cls(
            steps=_less(own.get("max_steps"), settings.CORE_MAX_EXECUTION_STEPS),
            fan_out=_less(own.get("max_fan_out"), settings.CORE_MAX_FAN_OUT),
            depth=_less(own.get("max_depth"), settings.CORE_MAX_DEPTH),
            iterations=_less(own.get("max_iterations"), settings.CORE_MAX_ITERATIONS),
            context_bytes=_less(
                own.get("max_context_bytes"), settings.CORE_MAX_CONTEXT_BYTES
            ),
        )


def _less(own: int | None, most: int) -> int:
    return most if own is None else min(own, most)


def check(execution_id: UUID, planned: PlannedStep, decision: Decision) -> None:
    """Raise Fault when the frames that a step wants would be too many."""
    if not decision.make:
        return
    allowed = Limits.of(planned.plan.definition)
    wanted, last = len(decision.make), decision.make[-1].number
    if planned.step.step_type == "loop":
        if last >= allowed.iterations:
            raise _too_many("iterations", "turns", last + 1, allowed.iterations)
    elif wanted > allowed.fan_out:
        raise _too_many("fan_out", "frames at once", wanted, allowed.fan_out)
    if wanted > 1 or last % _EVERY == 0:
        bodies = planned.compiled.bodies.values()
        steps = wanted * min(len(body.steps) for body in bodies)
        check_room(execution_id, allowed, steps)


_GROWN: LiteralString = """
SELECT count(*) FILTER (WHERE s.cursor IS NULL),
  coalesce(sum(pg_column_size(s.output)), 0)
FROM executions_steprun s WHERE s.execution_id = %(execution)s AND {bounded}
"""
_SIZE = _GROWN.format(bounded=BOUNDED)


def check_room(execution_id: UUID, allowed: Limits, more: int) -> None:
    """Raise Fault when an execution has no room for so many more steps."""
    params = {"execution": execution_id, **bounds(execution_id)}
    ((steps, size),) = fetch(_SIZE, params)
    if steps + more > allowed.steps:
        raise _too_many("steps", "steps", steps + more, allowed.steps)
    if size > allowed.context_bytes:
        raise _too_many(
            "context_bytes", "bytes of context", size, allowed.context_bytes
        )


def _too_many(name: str, what: str, wanted: int, most: int) -> Fault:
    return Fault(
        _TYPES[name],
        f"It would come to {wanted:,} {what}; max_{name} allows {most:,}. Raise it in the "
        "orchestration's limits, up to the installation's, or do less.",
    )
