"""What becomes of a step whose worker is gone: tried again, given up, or put aside."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from executions.database import fetch, one_transaction
from executions.lifecycle.claims import CLAIMED, Claim, NewRun
from executions.lifecycle.locking import lock_execution_of
from executions.lifecycle.outcomes import (
    Outcome,
    settle,
    settle_and_fail,
    wake_execution,
)
from executions.states import StepStatus

# A run is lost when its worker's lease has ended, or when the worker should long have
# ended it: nobody is left to report on it.
_LOST: LiteralString = """
  s.id = %(id)s AND s.status = 'running' AND (
    s.attempt_deadline < clock_timestamp() - interval '60 seconds'
    OR NOT EXISTS (
      SELECT 1 FROM executions_worker w
      WHERE w.id = s.worker AND w.lease_until > clock_timestamp()))
"""
_RETURN_LOST: LiteralString = f"""
WITH lost AS (
  UPDATE executions_steprun s SET
    status = 'retrying', retry_at = clock_timestamp(), crashes = s.crashes + 1,
    fence = s.fence + 1, attempt_deadline = NULL,
    error = jsonb_build_object('type', 'worker_lost', 'attempt', s.attempt,
      'message', 'The worker was lost in the middle of this attempt.')
  WHERE {_LOST} AND s.crashes < %(max_crashes)s
  RETURNING s.id, s.execution_id, s.path, s.error),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT execution_id, 'step.retrying', path, error FROM lost)
SELECT id FROM lost
"""


def return_lost(step_run_id: UUID, *, max_crashes: int, wake: bool) -> bool:
    """
    Free a step whose worker is gone for another attempt.

    `wake` has the reconciler send it again. False when its worker is alive after
    all, or the step has crashed too often.
    """
    params = {"id": step_run_id, "max_crashes": max_crashes}
    with one_transaction():
        execution_id = lock_execution_of(step_run_id)
        returned = bool(fetch(_RETURN_LOST, params))
        if returned and wake and execution_id:
            wake_execution(execution_id)
        return returned


_TAKE_CRASHED: LiteralString = f"""
UPDATE executions_steprun s
SET fence = s.fence + 1, crashes = s.crashes + 1
FROM executions_execution e
WHERE e.id = s.execution_id AND {_LOST}
RETURNING {CLAIMED}
"""


def give_up_crashed(run: NewRun, *, fatal: bool) -> bool:
    """End a step that took too many workers with it; False when it is alive."""
    for row in fetch(_TAKE_CRASHED, {"id": run.id}):
        claim = Claim.of(run, row)
        error = {
            "type": "crashed",
            "message": f"{claim.crashes} attempts lost their worker (killed, out of "
            "memory, or frozen); the step is not tried again.",
            "attempt": claim.attempt,
        }
        outcome = Outcome(status=StepStatus.FAILED, error=error)
        return (
            settle_and_fail(claim, outcome)
            if fatal
            else settle(claim, outcome, wake=True)
        )
    return False


_PUT_ASIDE: LiteralString = f"""
WITH aside AS (
  UPDATE executions_steprun s SET
    status = 'needs_attention', crashes = s.crashes + 1, fence = s.fence + 1,
    attempt_deadline = NULL,
    error = jsonb_build_object('type', 'worker_lost', 'attempt', s.attempt,
      'message', 'The worker was lost in the middle of this attempt. The step is '
      'at_most_once, so it is not run again before somebody settles it.')
  WHERE {_LOST}
  RETURNING s.execution_id, s.path, s.error),
resting AS (
  UPDATE executions_execution x SET status = 'waiting' FROM aside
  WHERE x.id = aside.execution_id AND x.status = 'running' AND NOT EXISTS (
    SELECT 1 FROM executions_steprun o
    WHERE o.execution_id = x.id AND o.path <> aside.path
      AND o.status IN ('pending', 'running', 'retrying'))),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT execution_id, 'step.needs_attention', path, error FROM aside)
SELECT path FROM aside
"""


def put_aside(step_run_id: UUID) -> bool:
    """
    Stop a step that may run at most once, and whose worker is gone, for a person.

    False when its worker is alive after all.
    """
    with one_transaction():
        lock_execution_of(step_run_id)
        return bool(fetch(_PUT_ASIDE, {"id": step_run_id}))
