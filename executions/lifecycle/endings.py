"""How an execution ends between steps: joined, failed, cancelled, or out of time."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null, one_transaction
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.outcomes import FAILED_OR_UNWINDING, FAILING, STOPPED
from executions.lifecycle.pruning import BOUNDED, bounds

_END: LiteralString = f"""
WITH ended AS (
  UPDATE executions_execution x
  SET output = %(output)s::jsonb, error = %(error)s::jsonb, {{set}}
  WHERE x.id = %(execution)s AND {{guard}}
  RETURNING x.id, x.status),
{STOPPED.format(others="")},
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.cancelled', cut.path, NULL::jsonb FROM cut
  UNION ALL
  SELECT id, {FAILED_OR_UNWINDING}, NULL, %(data)s::jsonb FROM ended)
SELECT id FROM ended
"""
# At once, or after what is to be done first.
_AT_ONCE: LiteralString = """
  status = %(status)s, finished_at = clock_timestamp(), wake_at = NULL
"""
_FAILING = FAILING.format(status="%(status)s")
_COMPLETE = _END.format(
    set=_AT_ONCE,
    guard="x.epoch = %(epoch)s AND x.status = 'running' AND x.cancel_request IS NULL"
    " AND x.unwinding IS NULL",
)
_END_OF_EPOCH = _END.format(
    set=_FAILING,
    guard="x.epoch = %(epoch)s AND x.status = 'running' AND x.cancel_request IS NULL",
)
_END_UNBEGUN = _END.format(
    set=_FAILING,
    guard="x.epoch = %(epoch)s AND x.status IN ('pending', 'running')"
    " AND x.cancel_request IS NULL",
)
_END_ACTIVE = _END.format(
    set=_AT_ONCE, guard="x.status IN ('pending', 'running', 'waiting', 'paused')"
)
# A deadline stands still while its execution is paused.
_END_OVERDUE = _END.format(
    set=_FAILING,
    guard="x.deadline_at <= clock_timestamp() AND x.unwinding IS NULL"
    " AND x.status IN ('pending', 'running', 'waiting')",
)


def complete(execution_id: UUID, *, epoch: int, output: Any) -> bool:
    """End an execution whose every step is settled."""
    return _end(_COMPLETE, execution_id, "completed", epoch=epoch, output=output)


def fail(
    execution_id: UUID, *, epoch: int, error: dict[str, Any], begun: bool = True
) -> bool:
    """End an execution for a reason that is no attempt's own."""
    sql = _END_OF_EPOCH if begun else _END_UNBEGUN
    return _end(sql, execution_id, "failed", epoch=epoch, error=error, data=error)


def terminate(execution_id: UUID, *, by: str | None, reason: str | None) -> bool:
    """End an execution at once, whatever runs; False when it had ended."""
    data = {"by": by, "reason": reason, "terminated": True}
    error = _of_people("terminated", reason)
    return _end(_END_ACTIVE, execution_id, "cancelled", error=error, data=data)


_CANCEL_REQUEST: LiteralString = f"""
SELECT x.cancel_request->>'by', x.cancel_request->>'reason',
  EXISTS (SELECT 1 FROM executions_steprun s
          WHERE s.execution_id = x.id AND s.status = 'running' AND {BOUNDED})
FROM executions_execution x
WHERE x.id = %(execution)s AND x.cancel_request IS NOT NULL
"""


def finish_cancel(execution_id: UUID, *, whatever_runs: bool = False) -> bool:
    """
    End an execution that is to be cancelled, once nothing of it runs any more.

    False when nobody asked, when something runs, or when it had ended.
    """
    with one_transaction():
        lock_execution(execution_id)
        params = {"execution": execution_id, **bounds(execution_id)}
        for by, reason, runs in fetch(_CANCEL_REQUEST, params):
            if runs and not whatever_runs:
                return False
            data, error = {"by": by, "reason": reason}, _of_people("cancelled", reason)
            return _end(_END_ACTIVE, execution_id, "cancelled", error=error, data=data)
    return False


def _of_people(kind: str, reason: str | None) -> dict[str, Any]:
    return {
        "step_key": None,
        "type": kind,
        "message": reason or f"The execution was {kind}.",
        "attempt": None,
    }


def time_out(execution_id: UUID) -> bool:
    """End an execution whose deadline has passed."""
    error = {
        "step_key": None,
        "type": "timed_out",
        "message": "The execution did not finish within the orchestration's "
        "timeout_ms.",
        "attempt": None,
    }
    return _end(_END_OVERDUE, execution_id, "timed_out", error=error, data=error)


def _end(
    sql: LiteralString,
    execution_id: UUID,
    status: str,
    *,
    epoch: int | None = None,
    output: Any = None,
    error: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> bool:
    params: dict[str, Any] = {
        "execution": execution_id,
        **bounds(execution_id),
        "status": status,
        "epoch": epoch,
        "output": json_or_null(output),
        "error": json_or_null(error),
        "data": json_or_null(data),
    }
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(sql, params))
