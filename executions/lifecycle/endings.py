"""How an execution ends between steps: joined, failed, cancelled, or out of time."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null, one_transaction
from executions.lifecycle.locking import lock_execution

_END: LiteralString = """
WITH ended AS (
  UPDATE executions_execution x
  SET status = %(status)s, output = %(output)s::jsonb, error = %(error)s::jsonb,
    finished_at = clock_timestamp(), wake_at = NULL
  WHERE x.id = %(execution)s AND {guard}
  RETURNING x.id),
stopped AS (
  UPDATE executions_steprun s
  SET status = 'cancelled', finished_at = clock_timestamp(), fence = s.fence + 1,
    attempt_deadline = NULL, retry_at = NULL
  FROM ended WHERE s.execution_id = ended.id
    AND s.status IN ('pending', 'running', 'retrying', 'waiting', 'needs_attention')
  RETURNING s.path),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.cancelled', stopped.path, NULL::jsonb FROM stopped
  UNION ALL
  SELECT id, 'execution.' || %(status)s, NULL, %(data)s::jsonb FROM ended)
SELECT id FROM ended
"""
_END_OF_EPOCH = _END.format(guard="x.epoch = %(epoch)s AND x.status = 'running'")
_END_ACTIVE = _END.format(
    guard="x.status IN ('pending', 'running', 'waiting', 'paused')"
)
_END_OVERDUE = _END.format(
    guard="x.deadline_at <= clock_timestamp()"
    " AND x.status IN ('pending', 'running', 'waiting', 'paused')"
)


def complete(execution_id: UUID, *, epoch: int, output: Any) -> bool:
    """End an execution whose every step is settled."""
    return _end(_END_OF_EPOCH, execution_id, "completed", epoch=epoch, output=output)


def fail(execution_id: UUID, *, epoch: int, error: dict[str, Any]) -> bool:
    """End an execution for a reason that is no step's own."""
    return _end(
        _END_OF_EPOCH, execution_id, "failed", epoch=epoch, error=error, data=error
    )


def cancel(execution_id: UUID, *, by: str | None, reason: str | None) -> bool:
    """End an execution because somebody asked; False when it had ended."""
    data = {"by": by, "reason": reason}
    error = {
        "step_key": None,
        "type": "cancelled",
        "message": reason or "The execution was cancelled.",
        "attempt": None,
    }
    return _end(_END_ACTIVE, execution_id, "cancelled", error=error, data=data)


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
        "status": status,
        "epoch": epoch,
        "output": json_or_null(output),
        "error": json_or_null(error),
        "data": json_or_null(data),
    }
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(sql, params))
