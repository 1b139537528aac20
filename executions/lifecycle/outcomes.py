"""How an attempt ends, and what begins or ends with it in the same statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from executions.committer import fetch, share
from executions.database import json_or_null, one_transaction
from executions.lifecycle.claims import CLAIMED, FIRST_CLAIM, ONE_RUN, Claim, NewRun
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.lifecycle.timers import wake_execution
from executions.states import StepStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step came to; `exports` are the names that its output mapping wrote."""

    status: StepStatus
    output: Any = None
    exports: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Whether this attempt's outcome was recorded, and the next step's claim."""

    recorded: bool
    next: Claim | None = None


# The places of an execution `x` from `first` to `last` that no step has begun at.
UNBEGUN: LiteralString = f"""
  SELECT 1 FROM generate_series(%(first)s::int, %(last)s::int) AS place(ordinal)
  LEFT JOIN executions_steprun s
    ON s.execution_id = x.id AND s.ordinal = place.ordinal AND {BOUNDED}
  WHERE s.id IS NULL
"""

# While an execution is being cancelled its steps are recorded and it goes nowhere; one
# that is paused goes nowhere either, but a failure ends it.
GOES_ON: LiteralString = "x.status = 'running' AND x.cancel_request IS NULL"
_MAY_FAIL: LiteralString = (
    "x.status IN ('pending', 'running', 'waiting', 'paused')"
    " AND x.cancel_request IS NULL"
)
# Each statement is `WITH e AS (lock the execution), done AS (settle the step), …`.
# `held` makes the lock come first, whatever the execution's state, and the guard looks
# at what it is then: a resume that is just committed counts.
_LOCKED: LiteralString = """
locked AS MATERIALIZED (
  SELECT x.id, x.deadline_at, x.status, x.epoch, x.cancel_request
  FROM executions_execution x WHERE x.id = %(execution)s {lock} OF x),
e AS MATERIALIZED (SELECT x.id, x.deadline_at FROM locked x WHERE {guard}),
held AS MATERIALIZED (SELECT count(*) FROM locked),
"""
_DONE: LiteralString = """
done AS (
  UPDATE executions_steprun s SET
    status = %(status)s, output = %(output)s::jsonb, exports = %(exports)s::jsonb,
    error = %(error)s::jsonb, usage = %(usage)s::jsonb,
    finished_at = clock_timestamp(), attempt_deadline = NULL, retry_at = NULL{more}
  {held}
  WHERE s.id = %(id)s AND s.fence = %(fence)s AND s.status = %(was)s
  RETURNING s.id)
"""
_TOLD: LiteralString = """
  SELECT %(execution)s::uuid, 'step.' || %(status)s, %(path)s::text,
    %(error)s::jsonb FROM done
"""

# An execution `x` that something is to be done after: it does not end yet, and what was
# sent so far counts no more. The reconciler goes on with it.
UNWINDS: LiteralString = "(x.unwinds AND x.unwinding IS NULL)"
FAILING: LiteralString = f"""
  status = CASE WHEN {UNWINDS} THEN 'running' ELSE {{status}} END,
  unwinding = CASE WHEN {UNWINDS} THEN jsonb_build_object('status', {{status}}::text)
    ELSE x.unwinding END,
  epoch = x.epoch + CASE WHEN {UNWINDS} THEN 1 ELSE 0 END,
  deadline_at = CASE WHEN {UNWINDS} THEN NULL ELSE x.deadline_at END,
  finished_at = CASE WHEN {UNWINDS} THEN NULL ELSE clock_timestamp() END,
  wake_at = CASE WHEN {UNWINDS} THEN clock_timestamp() END
"""
# What to tell of it, once it has `ended`.
FAILED_OR_UNWINDING: LiteralString = """
  CASE WHEN ended.status = 'running' THEN 'execution.unwinding'
    ELSE 'execution.' || ended.status END
"""

# With the execution, when it has just `ended`, its open steps are cut.
STOPPED: LiteralString = f"""
stopped AS (
  UPDATE executions_steprun s
  SET status = 'cancelled', finished_at = clock_timestamp(), fence = s.fence + 1,
    attempt_deadline = NULL, retry_at = NULL
  FROM ended WHERE s.execution_id = %(execution)s AND {BOUNDED} {{others}}
    AND s.status IN ('pending', 'running', 'retrying', 'waiting', 'needs_attention')
  RETURNING s.path, s.cursor),
cut AS (SELECT stopped.path FROM stopped WHERE stopped.cursor IS NULL)
"""

_SETTLE: LiteralString = """
WITH {done},
told AS (INSERT INTO executions_event (execution_id, type, path, data) {told})
SELECT id FROM done
"""
_SETTLE_INSIDE = _SETTLE.format(done=_DONE.format(held="", more=""), told=_TOLD)
# A step without a worker is nobody's: no message leads on from it, nor to it.
_SETTLE_OUTSIDE = _SETTLE.format(
    done=_DONE.format(held="", more=", worker = NULL"), told=_TOLD
)

_SETTLE_AND_CLAIM: LiteralString = f"""
WITH {_LOCKED.format(guard=GOES_ON + " AND x.epoch = %(epoch)s", lock="FOR SHARE")}
{_DONE.format(held="FROM held", more="")},
s AS (
  INSERT INTO executions_steprun AS s {FIRST_CLAIM}
  FROM e, done, {ONE_RUN.format(at="next_")}
  ON CONFLICT (id) DO NOTHING
  RETURNING s.attempt, s.crashes, s.spent, s.fence, s.attempt_deadline,
    s.deadline_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {_TOLD}
  UNION ALL
  SELECT %(execution)s, 'step.started', %(next_path)s,
    jsonb_build_object('attempt', 1) FROM s)
SELECT {CLAIMED} FROM done LEFT JOIN (s CROSS JOIN e) ON true
"""

_SETTLE_AND_COMPLETE: LiteralString = f"""
WITH {_LOCKED.format(guard=GOES_ON, lock="FOR NO KEY UPDATE")}
{_DONE.format(held="FROM held", more="")},
ended AS (
  UPDATE executions_execution x
  SET status = 'completed', output = %(result)s::jsonb,
    finished_at = clock_timestamp(), wake_at = NULL
  FROM e, done WHERE x.id = e.id
  RETURNING x.id),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {_TOLD}
  UNION ALL
  SELECT id, 'execution.completed', NULL, NULL::jsonb FROM ended)
SELECT id FROM done
"""

_SETTLE_AND_FAIL: LiteralString = f"""
WITH {_LOCKED.format(guard=_MAY_FAIL, lock="FOR NO KEY UPDATE")}
{_DONE.format(held="FROM held", more="")},
ended AS (
  UPDATE executions_execution x
  SET error = %(reason)s::jsonb, {FAILING.format(status="'failed'")}
  FROM e, done WHERE x.id = e.id
  RETURNING x.id, x.status),
{STOPPED.format(others="AND s.id <> %(id)s")},
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {_TOLD}
  UNION ALL
  SELECT %(execution)s, 'step.cancelled', cut.path, NULL FROM cut
  UNION ALL
  SELECT id, {FAILED_OR_UNWINDING}, NULL, %(reason)s::jsonb FROM ended)
SELECT id FROM done
"""

# A step below the top ends its frame; the container hears of that later.
_SETTLE_AND_CLOSE: LiteralString = f"""
WITH {_LOCKED.format(guard="true", lock="FOR SHARE")}
{_DONE.format(held="FROM held", more="")},
closed AS (
  UPDATE executions_steprun f SET
    status = 'completed', output = %(result)s::jsonb, heard = false,
    finished_at = clock_timestamp()
  FROM done WHERE f.id = %(frame)s AND f.status = 'waiting'
  RETURNING f.id),
told AS (INSERT INTO executions_event (execution_id, type, path, data) {_TOLD})
SELECT id FROM done
"""
_SETTLE_AND_FAIL_FRAME: LiteralString = f"""
WITH {_LOCKED.format(guard=_MAY_FAIL, lock="FOR NO KEY UPDATE")}
{_DONE.format(held="FROM held", more="")},
ended AS (
  UPDATE executions_steprun f SET
    status = 'failed', error = %(reason)s::jsonb, heard = false,
    finished_at = clock_timestamp()
  FROM e, done WHERE f.id = %(frame)s AND f.status = 'waiting'
  RETURNING f.path || '/' AS inside),
{STOPPED.format(others="AND s.id <> %(id)s AND starts_with(s.path, ended.inside)")},
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {_TOLD}
  UNION ALL
  SELECT %(execution)s, 'step.cancelled', cut.path, NULL FROM cut)
SELECT id FROM done
"""

share(
    "durable",
    _SETTLE_INSIDE,
    _SETTLE_AND_CLAIM,
    _SETTLE_AND_COMPLETE,
    _SETTLE_AND_CLOSE,
)


def settle(
    claim: Claim,
    outcome: Outcome,
    *,
    wake: bool = False,
    was: StepStatus = StepStatus.RUNNING,
) -> bool:
    """
    Record how this attempt ended; False when the step was no longer its own.

    `wake` asks the reconciler to go on with the execution: for those who settle a
    step from outside of its canvas.
    """
    params = params_of(claim, outcome, was=was)
    if not wake:
        return bool(fetch(_SETTLE_INSIDE, params))
    with one_transaction():
        lock_execution(claim.run.execution_id)
        recorded = bool(fetch(_SETTLE_OUTSIDE, params))
        if recorded:
            wake_execution(claim.run.execution_id)
        return recorded


def settle_and_claim(claim: Claim, outcome: Outcome, following: NewRun) -> Settled:
    """Record how this attempt ended and make the next step this worker's own."""
    params = params_of(claim, outcome) | following.params("next_")
    rows = fetch(_SETTLE_AND_CLAIM, params)
    if not rows:
        return Settled(recorded=False)
    if rows[0][0] is None:
        return Settled(recorded=True)
    return Settled(recorded=True, next=Claim.of(following, rows[0]))


def settle_and_complete(claim: Claim, outcome: Outcome, result: Any) -> bool:
    """Record how the last step ended, and the execution with it."""
    params = params_of(claim, outcome) | {"result": json_or_null(result)}
    return bool(fetch(_SETTLE_AND_COMPLETE, params))


def settle_and_close(claim: Claim, outcome: Outcome, result: Any) -> bool:
    """Record how the last step of a frame ended, and what the frame came to."""
    more = {"result": json_or_null(result), "frame": claim.run.frame}
    return bool(fetch(_SETTLE_AND_CLOSE, params_of(claim, outcome) | more))


def settle_and_fail(
    claim: Claim, outcome: Outcome, *, was: StepStatus = StepStatus.RUNNING
) -> bool:
    """
    Record a failure that ends the execution; what else was under way is cut.

    Below the top it is the step's frame that ends so.
    """
    reason = {"step_key": claim.run.key, **(outcome.error or {})}
    params = params_of(claim, outcome, was=was) | {"reason": json_or_null(reason)}
    params |= bounds(claim.run.id) | {"frame": claim.run.frame}
    sql = _SETTLE_AND_FAIL if claim.run.frame is None else _SETTLE_AND_FAIL_FRAME
    with one_transaction():
        lock_execution(claim.run.execution_id)
        return bool(fetch(sql, params))


_IS_RECORDED: LiteralString = """
SELECT s.id FROM executions_steprun s
WHERE s.id = %(id)s AND s.fence = %(fence)s
  AND s.status IN ('completed', 'failed', 'timed_out', 'skipped')
"""


def is_recorded(claim: Claim) -> bool:
    """Tell whether this attempt's outcome stands, after a reply that was lost."""
    return bool(fetch(_IS_RECORDED, {"id": claim.run.id, "fence": claim.fence}))


def params_of(
    claim: Claim, outcome: Outcome, *, was: StepStatus = StepStatus.RUNNING
) -> dict[str, Any]:
    return {
        "was": was.value,
        "id": claim.run.id,
        "fence": claim.fence,
        "execution": claim.run.execution_id,
        "path": claim.run.path,
        "status": outcome.status.value,
        "output": json_or_null(outcome.output),
        "exports": json_or_null(outcome.exports),
        "error": json_or_null(outcome.error),
        "usage": json_or_null(outcome.usage),
    }
