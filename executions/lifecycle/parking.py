"""
Steps of roles that wait for something outside: a provider, money, or a person.

The attempt has ended without an outcome and does not count. While it is parked a step
takes no worker, no message and no connection; then it is as one that was never sent.
"""

from __future__ import annotations

from typing import Any, LiteralString

from executions.database import fetch, json_or_null, one_transaction
from executions.lifecycle.approvals import Question, ask
from executions.lifecycle.claims import Claim, NewRun
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.requests import rest
from executions.lifecycle.timers import wake_execution

# What the step keeps in mind of earlier waits stays, but for why it waited then.
_PARK: LiteralString = """
WITH parked AS (
  UPDATE executions_steprun s SET
    status = 'waiting', worker = NULL, spent = s.spent + 1, attempt_deadline = NULL,
    state = (coalesce(s.state, '{}') - '{parked,detail,budget}'::text[])
      || %(state)s::jsonb,
    retry_at = least(s.deadline_at,
      clock_timestamp() + %(after_s)s::float8 * interval '1 second')
  WHERE s.id = %(id)s AND s.fence = %(fence)s AND s.status = 'running'
  RETURNING s.id, s.retry_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.waiting', %(path)s,
    %(state)s::jsonb || jsonb_build_object('until', parked.retry_at) FROM parked)
SELECT retry_at FROM parked
"""


def park(
    claim: Claim,
    *,
    state: dict[str, Any],
    after_s: float | None,
    question: Question | None,
    among: range,
) -> bool:
    """
    Let a step wait that a worker had begun; False when it was no longer its own.

    It is looked at again after so many seconds, if that is given, and at the end of its
    time. `state` is {"parked": kind, "detail": ...}. The execution rests with it, if at
    the ordinals `among` and elsewhere nothing else is to be done.
    """
    run = claim.run
    params = {
        "execution": run.execution_id,
        "id": run.id,
        "path": run.path,
        "fence": claim.fence,
        "state": json_or_null(state),
        "after_s": after_s,
    }
    with one_transaction():
        lock_execution(run.execution_id)
        for (retry_at,) in fetch(_PARK, params):
            until = _ask(run, question) if question else retry_at
            if until is not None:
                wake_execution(run.execution_id, at=until)
            rest(run.execution_id, among=among)
            return True
    return False


_EXPIRES: LiteralString = """
UPDATE executions_steprun s SET retry_at = least(s.deadline_at, a.expires_at)
FROM executions_approval a WHERE s.id = %(id)s AND a.id = %(approval)s
RETURNING s.retry_at
"""


def _ask(run: NewRun, question: Question) -> Any:
    """Ask, and say when the step is to be looked at if nobody answers."""
    approval, _ = ask(run, question)
    return fetch(_EXPIRES, {"id": run.id, "approval": approval})[0][0]


_UNPARK: LiteralString = """
WITH freed AS (
  UPDATE executions_steprun s SET
    status = 'pending', worker = NULL, retry_at = clock_timestamp(),
    state = (coalesce(s.state, '{}') - '{parked,detail,budget}'::text[])
      || %(more)s::jsonb
  WHERE s.id = %(id)s AND s.status = 'waiting'
  RETURNING s.id),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.resumed', %(path)s, NULL FROM freed)
SELECT id FROM freed
"""


def unpark(run: NewRun, *, more: dict[str, Any]) -> bool:
    """
    Have a parked step begin again; the reconciler sends it. False if it is not parked.

    `more` is added to what it keeps in mind. To be called in a transaction that holds
    the execution's row.
    """
    params = {
        "execution": run.execution_id,
        "id": run.id,
        "path": run.path,
        "more": json_or_null(more),
    }
    freed = bool(fetch(_UNPARK, params))
    if freed:
        wake_execution(run.execution_id)
    return freed
