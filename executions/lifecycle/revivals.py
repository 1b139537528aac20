"""How what ended badly is brought back: an execution, or a single step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from executions.database import fetch, one_transaction
from executions.identity import step_run_id
from executions.lifecycle.children import await_children
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.lifecycle.requests import Request

_REVIVE: LiteralString = """
WITH done AS (
  UPDATE executions_execution x SET
    status = CASE WHEN x.started_at IS NULL THEN 'pending' ELSE 'running' END,
    epoch = x.epoch + 1, cursor = %(block)s, error = NULL, output = NULL,
    finished_at = NULL, paused_at = NULL, cancel_request = NULL, resends = 0,
    unwinding = NULL,
    dispatched_at = clock_timestamp(),
    deadline_at = clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms',
    wake_at = clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms'
  WHERE x.id = %(execution)s AND x.epoch = %(epoch)s
    AND x.status IN ('failed', 'timed_out', 'cancelled')
  RETURNING x.id, x.epoch),
told AS (
  INSERT INTO executions_event (execution_id, type, data)
  SELECT id, 'execution.retried', jsonb_build_object('by', %(by)s::text,
    'reason', %(reason)s::text) FROM done)
SELECT epoch FROM done
"""
# A step that is reset waits for a worker from now on.
_RESET: LiteralString = f"""
WITH reset AS (
  UPDATE executions_steprun s SET
    status = 'pending', spent = s.attempt, crashes = 0, fence = s.fence + 1,
    output = NULL, exports = NULL, error = NULL, worker = NULL,
    deadline_at = NULL, attempt_deadline = NULL, retry_at = clock_timestamp(),
    finished_at = NULL
  WHERE s.execution_id = %(execution)s AND s.path = ANY(%(paths)s) AND {BOUNDED}
    AND s.status IN ('failed', 'timed_out', 'cancelled', 'needs_attention')
  RETURNING s.path),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.reset', path, jsonb_build_object('by', %(by)s::text,
    'reason', %(reason)s::text) FROM reset)
SELECT path FROM reset
"""


# Frames go on where they were, or begin when their turn comes; a container counts them
# as it is told.
_REOPEN: LiteralString = """
UPDATE executions_steprun s SET
  status = CASE WHEN s.started_at IS NULL THEN 'pending' ELSE 'waiting' END,
  fence = s.fence + 1, output = NULL, error = NULL, heard = NULL, finished_at = NULL
WHERE s.id = ANY(%(ids)s) AND s.cursor IS NOT NULL RETURNING s.id
"""
_HOLD_AGAIN: LiteralString = """
WITH held AS (
  UPDATE executions_steprun s SET
    status = 'waiting', spent = s.attempt, fence = s.fence + 1, output = NULL,
    exports = NULL, error = NULL, finished_at = NULL, retry_at = NULL,
    state = CASE WHEN s.state ? 'total' THEN s.state || again.state ELSE s.state END
  FROM unnest(%(ids)s::uuid[], %(states)s::jsonb[]) AS again(id, state)
  WHERE s.id = again.id
  RETURNING s.path),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.reset', path, jsonb_build_object('by', %(by)s::text,
    'reason', %(reason)s::text) FROM held)
SELECT path FROM held
"""
_HEAR_AGAIN: LiteralString = """
UPDATE executions_steprun s SET heard = false WHERE s.id = ANY(%(ids)s) RETURNING s.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """
    What is to be done again, by path.

    Steps get a new budget of tries; `containers`, with what they are to count, hold
    their frames again, of which some are `reopened` and some ends are heard anew; or
    they wait again for `children`.
    """

    steps: Collection[str] = ()
    containers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reopened: Collection[str] = ()
    unheard: Collection[str] = ()
    children: Collection[UUID] = ()


def revive(
    execution_id: UUID,
    request: Request,
    *,
    epoch: int,
    block: int,
    again: Again,
    timeout_ms: int | None,
) -> int | None:
    """
    Bring back an execution that ended badly, to go on with a block.

    The execution's time starts anew. Returns the new epoch; None when it is not at
    `epoch` or has not ended so.
    """
    params = {"execution": execution_id, **request.params()}
    more = {"epoch": epoch, "block": block, "timeout_ms": timeout_ms}
    with one_transaction():
        lock_execution(execution_id)
        for (new_epoch,) in fetch(_REVIVE, params | more):
            steps = {"paths": list(again.steps)}
            fetch(_RESET, params | bounds(execution_id) | steps)
            _hold_again(execution_id, params, again)
            return int(new_epoch)
    return None


def _hold_again(execution_id: UUID, params: Mapping[str, Any], again: Again) -> None:
    if not again.containers:
        return
    containers = {
        "ids": _ids(execution_id, again.containers),
        "states": [Jsonb(state) for state in again.containers.values()],
    }
    fetch(_HOLD_AGAIN, {**params, **containers})
    fetch(_REOPEN, {"ids": _ids(execution_id, again.reopened)})
    fetch(_HEAR_AGAIN, {"ids": _ids(execution_id, again.unheard)})
    await_children(again.children)


def _ids(execution_id: UUID, paths: Iterable[str]) -> list[UUID]:
    return [step_run_id(execution_id, path) for path in paths]


def reset_step(execution_id: UUID, path: str, request: Request) -> bool:
    """Have a step that needs attention run again, with a new budget of tries."""
    params = {"execution": execution_id, "paths": [path], **request.params()}
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(_RESET, params | bounds(execution_id)))
