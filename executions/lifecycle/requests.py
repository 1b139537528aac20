"""What people ask of an execution: to be let go, to rest, to go on, to run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, one_transaction
from executions.lifecycle.claims import Claim
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.outcomes import UNBEGUN
from executions.lifecycle.pruning import BOUNDED, bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, and why: kept with the event."""

    by: str | None
    reason: str | None = None

    def params(self) -> dict[str, Any]:
        return {"by": self.by, "reason": self.reason}


_TOLD: LiteralString = """
told AS (
  INSERT INTO executions_event (execution_id, type, data)
  SELECT id, %(event)s, jsonb_build_object('by', %(by)s::text,
    'reason', %(reason)s::text) FROM done)
SELECT id FROM done
"""
_REQUEST_CANCEL: LiteralString = f"""
WITH done AS (
  UPDATE executions_execution x SET
    cancel_request = jsonb_build_object('by', %(by)s::text,
      'reason', %(reason)s::text, 'at', clock_timestamp()),
    wake_at = clock_timestamp() + %(grace)s::interval
  WHERE x.id = %(execution)s AND x.cancel_request IS NULL
    AND x.status IN ('pending', 'running', 'waiting', 'paused')
  RETURNING x.id),
{_TOLD}
"""


def request_cancel(execution_id: UUID, request: Request, *, grace: timedelta) -> bool:
    """
    Let nothing new start, and have running attempts told to stop.

    After `grace` the reconciler ends the execution whatever still runs. False when
    it has ended, or was asked before.
    """
    more = {"grace": grace}
    return _ask(_REQUEST_CANCEL, execution_id, request, "cancel_requested", more)


_LET_GO: LiteralString = """
WITH done AS (
  UPDATE executions_steprun s SET
    status = 'cancelled', finished_at = clock_timestamp(), fence = s.fence + 1,
    attempt_deadline = NULL
  FROM executions_execution x
  WHERE x.id = s.execution_id AND x.cancel_request IS NOT NULL
    AND s.id = %(id)s AND s.fence = %(fence)s AND s.status = 'running'
  RETURNING s.execution_id, s.path),
told AS (
  INSERT INTO executions_event (execution_id, type, path)
  SELECT execution_id, 'step.cancelled', path FROM done)
SELECT path FROM done
"""


def let_go(claim: Claim) -> bool:
    """Record that an attempt stopped because its execution is being cancelled."""
    return bool(fetch(_LET_GO, {"id": claim.run.id, "fence": claim.fence}))


_PAUSE: LiteralString = f"""
WITH done AS (
  UPDATE executions_execution x
  SET status = 'paused', paused_at = clock_timestamp(), wake_at = NULL
  WHERE x.id = %(execution)s AND x.status IN ('pending', 'running', 'waiting')
    AND x.cancel_request IS NULL
  RETURNING x.id),
{_TOLD}
"""


def pause(execution_id: UUID, request: Request) -> bool:
    """Let no further step start; what runs ends by itself and is recorded."""
    return _ask(_PAUSE, execution_id, request, "paused")


# Deadlines stand still while an execution is paused. Whether a message still leads to
# a step that is to be tried again, nobody knows.
_RESUME: LiteralString = f"""
WITH was AS MATERIALIZED (
  SELECT x.id, clock_timestamp() - x.paused_at AS rest
  FROM executions_execution x
  WHERE x.id = %(execution)s AND x.status = 'paused' AND x.cancel_request IS NULL),
done AS (
  UPDATE executions_execution x SET
    status = CASE WHEN x.started_at IS NULL THEN 'pending' ELSE 'running' END,
    paused_at = NULL, dispatched_at = clock_timestamp(), resends = 0,
    deadline_at = x.deadline_at + was.rest, wake_at = x.deadline_at + was.rest
  FROM was WHERE x.id = was.id
  RETURNING x.id),
later AS (
  UPDATE executions_steprun s SET deadline_at = s.deadline_at + was.rest,
    worker = CASE WHEN s.status = 'running' THEN s.worker END
  FROM was WHERE s.execution_id = was.id AND {BOUNDED}
    AND s.status IN ('pending', 'running', 'retrying', 'waiting')),
{_TOLD}
"""


def resume(execution_id: UUID, request: Request) -> bool:
    """Let a paused execution go on; the caller sends what is due."""
    more = dict(bounds(execution_id))
    return _ask(_RESUME, execution_id, request, "resumed", more)


_STIR: LiteralString = """
WITH told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT %(execution)s, 'step.settled_by_hand', %(path)s,
    jsonb_build_object('by', %(by)s::text, 'reason', %(reason)s::text,
      'action', %(action)s::text))
UPDATE executions_execution x SET status = 'running'
WHERE x.id = %(execution)s AND x.status = 'waiting' RETURNING x.id
"""


def stir(execution_id: UUID, request: Request, *, path: str, action: str) -> None:
    """Note what somebody decided about a step, and let the execution run again."""
    params = {"execution": execution_id, **request.params()}
    fetch(_STIR, params | {"path": path, "action": action})


# A frame of an execution `x` in which nothing waits: a step of it is to begin, or its
# end to be heard of.
EMPTY_FRAME: LiteralString = f"""
  SELECT 1 FROM executions_steprun f
  WHERE f.execution_id = x.id AND f.cursor IS NOT NULL
    AND (f.heard = false OR f.status = 'waiting' AND NOT EXISTS (
      SELECT 1 FROM executions_steprun s
      WHERE s.execution_id = x.id AND starts_with(s.path, f.path || '/')
        AND s.cursor IS NULL AND s.status IN ('waiting', 'needs_attention')
        AND {BOUNDED}))
"""
_REST: LiteralString = f"""
UPDATE executions_execution x SET status = 'waiting'
WHERE x.id = %(execution)s AND x.status = 'running' AND x.cancel_request IS NULL
  AND EXISTS (
    SELECT 1 FROM executions_steprun s WHERE s.execution_id = x.id AND {BOUNDED}
      AND s.status IN ('waiting', 'needs_attention'))
  AND NOT EXISTS (
    SELECT 1 FROM executions_steprun s WHERE s.execution_id = x.id AND {BOUNDED}
      AND s.status IN ('pending', 'running', 'retrying') AND s.cursor IS NULL)
  AND NOT EXISTS ({UNBEGUN})
  AND NOT EXISTS ({EMPTY_FRAME})
RETURNING x.id
"""


def rest(execution_id: UUID, *, among: range) -> bool:
    """
    Note that an execution waits for something outside, and for nothing else.

    At the ordinals `among`, those of the block at hand, no step is still to begin.
    """
    params = {"execution": execution_id, "first": among.start, "last": among.stop - 1}
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(_REST, params | bounds(execution_id)))


def _ask(
    sql: LiteralString,
    execution_id: UUID,
    request: Request,
    event: str,
    more: dict[str, Any] | None = None,
) -> bool:
    params = {
        "execution": execution_id,
        "event": f"execution.{event}",
        **request.params(),
        **(more or {}),
    }
    with one_transaction():
        lock_execution(execution_id)
        return bool(fetch(sql, params))
