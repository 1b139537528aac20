"""
How an execution ends that something is to be done after.

It has failed already, and says so, but stands as running until its steps are undone and
what follows a failure is done; then it ends as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from executions.database import decoded, fetch, one_transaction
from executions.identity import step_run_id
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.outcomes import STOPPED
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.lifecycle.requests import Request
from executions.paths import ROLLBACK, UNDO, UNWIND, frame_path, undone

_BESIDE_ORDINAL = (1 << 30) - 1  # between the steps and the frames

_STATE: LiteralString = """
SELECT x.unwinding, x.epoch, x.error FROM executions_execution x
WHERE x.id = %(execution)s AND x.unwinding IS NOT NULL
  AND x.status IN ('running', 'waiting')
"""
_BEGIN: LiteralString = """
WITH made AS (
  INSERT INTO executions_steprun
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes, fence,
     cursor, number, input, started_at)
  VALUES (%(id)s, %(execution)s, %(ordinal)s, %(path)s, %(key)s, '', 'waiting', 0, 0, 1,
    0, 0, %(given)s::jsonb, clock_timestamp())
  ON CONFLICT (id) DO NOTHING
  RETURNING path)
UPDATE executions_execution x
SET unwinding = x.unwinding || jsonb_build_object('path', made.path)
FROM made WHERE x.id = %(execution)s RETURNING x.id
"""


def begin_unwinding(execution_id: UUID) -> str | None:
    """
    Open the frame in which an execution is unwound, and return its path.

    None when it is open or was, or there is nothing to unwind.
    """
    with one_transaction():
        lock_execution(execution_id)
        for state, epoch, error in fetch(_STATE, {"execution": execution_id}):
            if "path" in (unwinding := decoded(state)):
                return None
            failure = decoded(error)
            key = ROLLBACK if unwinding.get("rollback") else UNWIND
            path = frame_path(key, epoch)
            params = {
                "execution": execution_id,
                "id": step_run_id(execution_id, path),
                "ordinal": _BESIDE_ORDINAL,
                "path": path,
                "key": key,
                "given": Jsonb({"failure": failure, "output": failure}),
            }
            return path if fetch(_BEGIN, params) else None
    return None


_FINISH: LiteralString = """
WITH ended AS (
  UPDATE executions_execution x
  SET status = x.unwinding->>'status', finished_at = clock_timestamp(), wake_at = NULL
  FROM executions_steprun f
  WHERE x.id = %(execution)s AND x.status IN ('running', 'waiting')
    AND x.unwinding->>'path' = f.path AND f.execution_id = x.id
    AND f.status IN ('completed', 'failed') AND {bounded}
  RETURNING x.id, x.status, x.error, f.id AS frame),
heard AS (
  UPDATE executions_steprun s SET heard = true FROM ended WHERE s.id = ended.frame),
told AS (
  INSERT INTO executions_event (execution_id, type, data)
  SELECT id, 'execution.' || status, error FROM ended)
SELECT id FROM ended
"""
_FINISH_UNWOUND = _FINISH.format(bounded=BOUNDED.replace("s.id", "f.id"))


def finish_unwinding(execution_id: UUID) -> bool:
    """End an execution that is unwound, as it would have ended before."""
    params = {"execution": execution_id, **bounds(execution_id)}
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(_FINISH_UNWOUND, params))


_DONE: LiteralString = """
SELECT s.path, s.output FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.key = ANY(%(keys)s) AND {bounded}
  AND s.status = 'completed' AND s.attempt > 0 AND s.cursor IS NULL
ORDER BY s.finished_at DESC, s.ordinal DESC, s.path DESC
"""
_UNDONE: LiteralString = """
SELECT s.path, s.status FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND {bounded} AND s.cursor IS NOT NULL
  AND s.path LIKE '@%%' AND strpos(s.path, %(undo)s) > 0
"""
_DONE_RUNS = _DONE.format(bounded=BOUNDED)
_UNDONE_RUNS = _UNDONE.format(bounded=BOUNDED)


def undone_runs(execution_id: UUID) -> dict[str, str]:
    """Map the paths of steps that were undone, or are to be, to how that stands."""
    params = {"execution": execution_id, **bounds(execution_id), "undo": f"/{UNDO}["}
    rows = fetch(_UNDONE_RUNS, params)
    return {
        undone(path[path.rindex("[") + 1 : -1]): status
        for path, status in sorted(rows, key=lambda row: row[1] == "completed")
    }


def done_runs(execution_id: UUID, keys: Sequence[str]) -> list[tuple[str, Any]]:
    """
    List the runs of steps with these keys that completed and were not undone.

    Each with its path and output, the last one that ended first.
    """
    before = undone_runs(execution_id)
    params = {
        "execution": execution_id,
        **bounds(execution_id),
        "keys": list(keys),
    }
    return [
        (path, decoded(output))
        for path, output in fetch(_DONE_RUNS, params)
        if before.get(path) != "completed"
    ]


_ROLL_BACK: LiteralString = f"""
WITH was AS MATERIALIZED (
  SELECT x.id, x.status, x.finished_at IS NULL AS active
  FROM executions_execution x WHERE x.id = %(execution)s),
ended AS (
  UPDATE executions_execution x SET
    status = 'running', epoch = x.epoch + 1, finished_at = NULL, paused_at = NULL,
    started_at = coalesce(x.started_at, clock_timestamp()),
    deadline_at = NULL, wake_at = clock_timestamp(), resends = 0,
    dispatched_at = clock_timestamp(),
    error = CASE WHEN was.active THEN %(error)s::jsonb ELSE x.error END,
    unwinding = jsonb_build_object('rollback', true,
      'status', CASE WHEN was.active THEN 'cancelled' ELSE was.status END)
  FROM was WHERE x.id = was.id AND x.cancel_request IS NULL
    AND (x.unwinding IS NULL OR x.finished_at IS NOT NULL)
  RETURNING x.id),
{STOPPED.format(others="")},
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT id, 'execution.rollback_requested', NULL, jsonb_build_object('by', %(by)s::text,
    'reason', %(reason)s::text) FROM ended
  UNION ALL
  SELECT %(execution)s, 'step.cancelled', cut.path, NULL FROM cut)
SELECT id FROM ended
"""


def roll_back(execution_id: UUID, request: Request) -> bool:
    """
    Have an execution's steps undone; one that is under way ends with that.

    False while it is unwound, or is being cancelled.
    """
    error = {
        "step_key": None,
        "type": "rolled_back",
        "message": request.reason or "The execution was rolled back.",
        "attempt": None,
    }
    params = {
        "execution": execution_id,
        **bounds(execution_id),
        **request.params(),
        "error": Jsonb(error),
    }
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(_ROLL_BACK, params))
