"""
How long a step may wait for a worker: `queue_timeout_ms`, kept by the reconciler.

A step waits from when it was its turn: when what stands before it was settled, or
when its own retry was due, but not before its message was last sent.
"""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from executions import lifecycle, pinned, resumption, situation
from executions.database import fetch
from executions.identity import step_run_id
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
CROSS JOIN LATERAL (
  SELECT greatest(e.dispatched_at, s.retry_at, (
      SELECT max(b.finished_at) FROM executions_steprun b
      WHERE b.execution_id = e.id
        AND b.ordinal BETWEEN %(before_first)s AND %(before_last)s))
    + waiting.limit_ms * interval '1 ms' AS at) ends
WHERE e.id = %(execution)s AND (s.id IS NULL OR s.status IN ('pending', 'retrying'))
"""


def expire_overdue(execution_id: UUID) -> int:
    """End the steps of an execution that waited too long for a worker."""
    address = resumption.address_of(execution_id)
    plan = pinned.plan(address.version)
    known = _read(execution_id, plan)
    if known is None:
        return 0
    return sum(
        _expire(address, plan.by_path[path], known)
        for path, _, over in _waiting(execution_id, plan, known)
        if over
    )


def next_end(execution_id: UUID) -> datetime | None:
    """Return when the next step will have waited too long."""
    plan = pinned.plan(resumption.address_of(execution_id).version)
    known = _read(execution_id, plan)
    waiting = _waiting(execution_id, plan, known) if known else []
    return min((ends_at for _, ends_at, _ in waiting), default=None)


def _read(execution_id: UUID, plan: Plan) -> Situation | None:
    """Read an execution in which a step may wait for a limited time."""
    if not any(plan.queued_for_a_time(block) for block in plan.blocks):
        return None
    return situation.read_all(execution_id, plan)


def _waiting(
    execution_id: UUID, plan: Plan, known: Situation
) -> list[tuple[str, datetime, bool]]:
    """List what waits: its path, when its time is over, and whether it is."""
    index = resumption.unsettled_block(plan, known)
    if index is None or not known.goes_on:
        return []
    block = plan.blocks[index]
    steps = plan.queued_for_a_time(block)
    before = plan.blocks[index - 1].ordinals if index else range(-1, 0)
    params = {
        "execution": execution_id,
        "paths": [step.path for step in steps],
        "ids": [step_run_id(execution_id, step.path) for step in steps],
        "limits_ms": [step.step.queue_timeout_ms for step in steps],
        "before_first": before[0],
        "before_last": before[-1],
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
