"""How a step is given back, to be tried again later."""

from __future__ import annotations

from typing import LiteralString

from executions.database import fetch, one_transaction
from executions.lifecycle.claims import Claim
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.outcomes import Outcome, params_of
from executions.lifecycle.timers import wake_execution

_SCHEDULE_RETRY: LiteralString = """
WITH done AS (
  UPDATE executions_steprun s SET
    status = 'retrying', error = %(error)s::jsonb, usage = %(usage)s::jsonb,
    retry_at = clock_timestamp() + %(delay_s)s * interval '1 second',
    worker = CASE WHEN %(timer)s THEN NULL ELSE s.worker END, attempt_deadline = NULL
  WHERE s.id = %(id)s AND s.fence = %(fence)s AND s.status = 'running'
  RETURNING s.id, s.retry_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.retrying', %(path)s,
    %(error)s::jsonb || jsonb_build_object('retry_at', done.retry_at) FROM done)
SELECT retry_at FROM done
"""


def schedule_retry(
    claim: Claim, outcome: Outcome, *, delay_s: float, timer: bool
) -> bool:
    """
    Give the step back until `delay_s` seconds from now.

    `timer` leaves the waking to the reconciler; without it the caller's message
    carries the delay.
    """
    params = params_of(claim, outcome) | {"delay_s": delay_s, "timer": timer}
    if not timer:
        return bool(fetch(_SCHEDULE_RETRY, params))
    with one_transaction():
        lock_execution(claim.run.execution_id)
        rows = fetch(_SCHEDULE_RETRY, params)
        for (retry_at,) in rows:
            wake_execution(claim.run.execution_id, at=retry_at)
        return bool(rows)


_IS_SCHEDULED: LiteralString = """
SELECT s.id FROM executions_steprun s
WHERE s.id = %(id)s AND s.fence = %(fence)s AND s.status = 'retrying'
"""


def is_scheduled(claim: Claim) -> bool:
    """Tell whether this attempt's retry stands, after a reply that was lost."""
    return bool(fetch(_IS_SCHEDULED, {"id": claim.run.id, "fence": claim.fence}))
