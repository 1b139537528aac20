"""How a step ends that nobody began in time."""

from __future__ import annotations

from typing import Any, LiteralString

from executions.database import fetch, json_or_null, one_transaction
from executions.lifecycle.claims import NewRun
from executions.lifecycle.endings import fail
from executions.lifecycle.frames import fail_frame
from executions.lifecycle.locking import lock_execution

_EXPIRE: LiteralString = """
WITH expired AS (
  INSERT INTO executions_steprun AS s
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, error, finished_at)
  SELECT %(id)s, e.id, %(ordinal)s, %(path)s, %(key)s, %(role)s, 'timed_out', 0, 0,
     1, %(error)s::jsonb, clock_timestamp()
  FROM executions_execution e
  WHERE e.id = %(execution)s AND e.epoch = %(epoch)s
    AND e.status IN ('pending', 'running') AND e.cancel_request IS NULL
  ON CONFLICT (id) DO UPDATE SET
    status = 'timed_out', error = excluded.error, fence = s.fence + 1,
    finished_at = excluded.finished_at, retry_at = NULL, worker = NULL
  WHERE s.status IN ('pending', 'retrying')
  RETURNING s.path),
started AS (
  UPDATE executions_execution x SET status = 'running', started_at = clock_timestamp()
  FROM expired
  WHERE x.id = %(execution)s AND x.status = 'pending' AND NOT %(fatal)s
  RETURNING x.id),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT id, 'execution.started', NULL, NULL::jsonb FROM started
  UNION ALL
  SELECT %(execution)s, 'step.timed_out', path, %(error)s::jsonb FROM expired)
SELECT path FROM expired
"""


def expire(run: NewRun, error: dict[str, Any], *, fatal: bool) -> bool:
    """
    End a step that waited too long for a worker; False when one has it after all.

    `fatal` ends the execution with it, or the step's frame; otherwise the execution has begun, and the
    caller goes on with it.
    """
    more = {"error": json_or_null(error), "fatal": fatal}
    with one_transaction():
        lock_execution(run.execution_id)
        expired = bool(fetch(_EXPIRE, run.params() | more))
        if expired and fatal:
            reason = {"step_key": run.key, **error}
            if run.frame is not None:
                fail_frame(run, error=reason)
            else:
                fail(run.execution_id, epoch=run.epoch, error=reason, begun=False)
        return expired
