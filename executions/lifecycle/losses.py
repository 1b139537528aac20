"""What becomes of attempts that were lost: tried again, given up, or put aside."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, one_transaction
from executions.lifecycle.claims import CLAIMED, Claim, NewRun
from executions.lifecycle.locking import lock_execution, lock_execution_of
from executions.lifecycle.outcomes import (
    UNBEGUN,
    Outcome,
    settle,
    settle_and_fail,
)
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.lifecycle.timers import wake_execution
from executions.states import StepStatus

# A run is lost when its worker's lease has ended, or when the worker should long have
# ended it: nobody is left to report on it.
WORKER_GONE: LiteralString = """NOT EXISTS (
  SELECT 1 FROM executions_worker w
  WHERE w.id = s.worker AND w.lease_until > clock_timestamp())"""
OVERRUN: LiteralString = (
    "s.attempt_deadline < clock_timestamp() - interval '60 seconds'"
)
_LOST: LiteralString = f"""
  s.id = %(id)s AND s.status = 'running' AND ({OVERRUN} OR {WORKER_GONE})
"""
_RETURN_LOST: LiteralString = f"""
WITH lost AS (
  UPDATE executions_steprun s SET
    status = 'retrying', retry_at = clock_timestamp(), crashes = s.crashes + 1,
    fence = s.fence + 1, worker = NULL, attempt_deadline = NULL,
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
    """
    End a step that took too many workers with it; False when it is alive.

    Taken and ended at once, so that of two who find it one counts the crash.
    """
    with one_transaction():
        lock_execution(run.execution_id)
        for row in fetch(_TAKE_CRASHED, {"id": run.id}):
            claim = Claim.of(run, row)
            outcome = Outcome(status=StepStatus.FAILED, error=_crashed(claim))
            if fatal:
                return settle_and_fail(claim, outcome)
            return settle(claim, outcome, wake=True)
    return False


def _crashed(claim: Claim) -> dict[str, Any]:
    return {
        "type": "crashed",
        "message": f"{claim.crashes} attempts lost their worker (killed, out of "
        "memory, or frozen); the step is not tried again.",
        "attempt": claim.attempt,
    }


_PUT_ASIDE: LiteralString = f"""
WITH aside AS (
  UPDATE executions_steprun s SET
    status = 'needs_attention', crashes = s.crashes + 1, fence = s.fence + 1,
    worker = NULL, attempt_deadline = NULL,
    error = jsonb_build_object('type', 'worker_lost', 'attempt', s.attempt,
      'message', 'The worker was lost in the middle of this attempt. The step is '
      'at_most_once, so it is not run again before somebody settles it.')
  WHERE {_LOST}
  RETURNING s.execution_id, s.path, s.error),
resting AS (
  UPDATE executions_execution x SET status = 'waiting' FROM aside
  WHERE x.id = aside.execution_id AND x.status = 'running' AND NOT EXISTS (
    SELECT 1 FROM executions_steprun s
    WHERE s.execution_id = x.id AND s.path <> aside.path AND {BOUNDED}
      AND s.status IN ('pending', 'running', 'retrying'))
    AND NOT EXISTS ({UNBEGUN})),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT execution_id, 'step.needs_attention', path, error FROM aside)
SELECT path FROM aside
"""


def put_aside(step_run_id: UUID, *, among: range = range(0)) -> bool:
    """
    Stop a step that may run at most once, and whose worker is gone, for a person.

    Its execution waits then, unless a step goes on or, at the ordinals `among`, is
    still to begin. False when its worker is alive after all.
    """
    params = {"id": step_run_id, "first": among.start, "last": among.stop - 1}
    with one_transaction():
        lock_execution_of(step_run_id)
        return bool(fetch(_PUT_ASIDE, params | bounds(step_run_id)))


# A deadline that a pause moved: the attempt was claimed under the old one.
_GIVE_BACK: LiteralString = """
WITH cut AS (
  UPDATE executions_steprun s SET
    status = CASE WHEN %(once)s THEN 'needs_attention' ELSE 'retrying' END,
    retry_at = CASE WHEN %(once)s THEN NULL ELSE clock_timestamp() END,
    spent = s.spent + 1, worker = NULL, attempt_deadline = NULL,
    error = jsonb_build_object('type', 'cut_short', 'attempt', s.attempt,
      'message', 'A pause moved the deadline at which this attempt was ended.')
  FROM executions_execution x
  WHERE x.id = s.execution_id AND s.id = %(id)s AND s.fence = %(fence)s
    AND s.status = 'running'
    AND s.attempt_deadline <= clock_timestamp() + interval '1 second'
    AND (x.status = 'paused'
      OR x.status = 'running' AND x.deadline_at > s.attempt_deadline)
  RETURNING s.execution_id, s.path, s.status, s.error),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT execution_id, 'step.' || status, path, error FROM cut)
SELECT path FROM cut
"""


def give_back(claim: Claim) -> bool:
    """
    Free a step whose attempt ended at a deadline that a pause has moved since.

    The attempt does not count against its tries. False when the deadline stands.
    """
    fence = {"id": claim.run.id, "fence": claim.fence, "once": claim.run.durable}
    with one_transaction():
        lock_execution(claim.run.execution_id)
        given_back = bool(fetch(_GIVE_BACK, fence))
        if given_back:
            wake_execution(claim.run.execution_id)
        return given_back
