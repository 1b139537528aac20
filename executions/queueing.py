"""
How long a step may wait for a worker: `queue_timeout_ms`, kept by the reconciler.

A step waits from when it was its turn: when what stands before it was settled, or
when its own retry was due, but not before its message was last sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from core_orchestration.definition import Step
from executions import lifecycle, pinned, resumption, situation
from executions.database import fetch
from executions.identity import step_run_id
from executions.paths import TOP
from executions.plan import Plan, PlannedStep
from executions.policy import Failure
from executions.runs import run_of
from executions.signatures import Address
from executions.situation import Situation

_WAITING: LiteralString = """
SELECT waiting.path, ends.at, ends.at <= clock_timestamp()
FROM executions_execution e
CROSS JOIN unnest(%(paths)s::text[], %(ids)s::uuid[], %(limits_ms)s::bigint[])
  AS waiting(path, id, limit_ms)
LEFT JOIN executions_steprun s ON s.id = waiting.id
LEFT JOIN executions_steprun f ON f.id = %(frame)s
CROSS JOIN LATERAL (
  SELECT greatest(e.dispatched_at, f.started_at, s.retry_at, (
      SELECT max(b.finished_at) FROM executions_steprun b
      WHERE b.id = ANY(%(before)s)))
    + waiting.limit_ms * interval '1 ms' AS at) ends
WHERE e.id = %(execution)s AND (s.id IS NULL OR s.status IN ('pending', 'retrying'))
"""


def expire_overdue(execution_id: UUID) -> int:
    """End the steps of an execution that waited too long for a worker."""
    return sum(
        _expire(address, plan.by_path[path], known)
        for address, plan, known in _places(execution_id)
        for path, _, over in _waiting(execution_id, plan, known)
        if over
    )


def next_end(execution_id: UUID) -> datetime | None:
    """Return when the next step will have waited too long."""
    ends = (
        ends_at
        for _, plan, known in _places(execution_id)
        for _, ends_at, _ in _waiting(execution_id, plan, known)
    )
    return min(ends, default=None)


def _places(execution_id: UUID) -> Iterator[tuple[Address, Plan, Situation]]:
    """Read the top and the frames in which a step may wait for a limited time."""
    address = resumption.address_of(execution_id)
    definition = pinned.plan(address.version).definition
    if not _is_limited((*definition.steps, *definition.on_failure)):
        return
    for frame in (TOP, *resumption.open_frames(execution_id)):
        inside = address.at(frame)
        plan = pinned.plan_of(inside)
        if any(plan.queued_for_a_time(block) for block in plan.blocks):
            known = situation.read_all(execution_id, plan)
            if known is not None:
                yield inside, plan, known


def _is_limited(steps: Sequence[Step]) -> bool:
    return any(
        step.queue_timeout_ms is not None or _is_limited(step.steps) for step in steps
    )


def _waiting(
    execution_id: UUID, plan: Plan, known: Situation
) -> list[tuple[str, datetime, bool]]:
    """List what waits: its path, when its time is over, and whether it is."""
    index = resumption.unsettled_block(plan, known)
    if index is None or not known.goes_on:
        return []
    steps = plan.queued_for_a_time(plan.blocks[index])
    before = plan.of_block(plan.blocks[index - 1]) if index else ()
    params = {
        "execution": execution_id,
        "paths": [step.path for step in steps],
        "ids": [step_run_id(execution_id, step.path) for step in steps],
        "limits_ms": [step.step.queue_timeout_ms for step in steps],
        "before": [step_run_id(execution_id, step.path) for step in before],
        "frame": step_run_id(execution_id, plan.frame) if plan.frame else None,
    }
    return [(path, ends_at, over) for path, ends_at, over in fetch(_WAITING, params)]


def _expire(address: Address, planned: PlannedStep, known: Situation) -> bool:
    step = planned.step
    role_name = pinned.role(known.role_pins[planned.role]).name
    run = run_of(address, planned, role_name=role_name)
    failure = Failure(
        type="queue_timed_out",
        message=f"No worker took the step within {step.queue_timeout_ms} ms.",
        retryable=False,
        timed_out=True,
    )
    error = failure.as_error(0)
    return lifecycle.expire(run, error, fatal=step.on_error == "fail")
