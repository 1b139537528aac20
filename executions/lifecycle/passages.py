"""How an execution comes to be and moves on: created, advanced, sent again."""

from __future__ import annotations

from datetime import timedelta
from typing import LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from executions.database import decoded, fetch, json_or_null
from executions.models import Execution

_CREATE: LiteralString = """
WITH made AS (
  INSERT INTO executions_execution
    (id, orchestration_id, version_id, status, epoch, cursor, role_pins, input,
     idempotency_key, created_by_id, deadline_at, wake_at, resends)
  VALUES (%(id)s, %(orchestration)s, %(version)s, 'pending', 1, 0, %(pins)s::jsonb,
     %(input)s::jsonb, %(idempotency_key)s, %(created_by)s,
     clock_timestamp() + %(timeout)s::interval,
     clock_timestamp() + %(timeout)s::interval, 0)
  ON CONFLICT (created_by_id, idempotency_key) WHERE idempotency_key IS NOT NULL
    DO NOTHING
  RETURNING id, created_at),
told AS (
  INSERT INTO executions_event (execution_id, type)
  SELECT id, 'execution.created' FROM made)
SELECT created_at FROM made
"""


def create(execution: Execution, *, timeout_ms: int | None) -> bool:
    """
    Insert an execution as pending; False when its idempotency key is taken.

    A second request with one key waits here until the first has committed.
    """
    timeout = None if timeout_ms is None else timedelta(milliseconds=timeout_ms)
    rows = fetch(
        _CREATE,
        {
            "id": execution.pk,
            "orchestration": execution.orchestration_id,
            "version": execution.version_id,
            "pins": json_or_null(execution.role_pins),
            "input": Jsonb(execution.input),
            "idempotency_key": execution.idempotency_key,
            "created_by": execution.created_by_id,
            "timeout": timeout,
        },
    )
    for (created_at,) in rows:
        execution.created_at = execution.dispatched_at = created_at
    return bool(rows)


_ADVANCE: LiteralString = """
UPDATE executions_execution
SET cursor = %(block)s, dispatched_at = clock_timestamp()
WHERE id = %(execution)s AND epoch = %(epoch)s AND cursor < %(block)s
  AND status = 'running'
RETURNING role_pins
"""


def advance(execution_id: UUID, *, epoch: int, block: int) -> dict[str, str] | None:
    """
    Move the execution on to a block; None when another message has done so.

    The winner, who alone sends what follows, gets the execution's role pins.
    """
    params = {"execution": execution_id, "epoch": epoch, "block": block}
    for (pins,) in fetch(_ADVANCE, params):
        return dict(decoded(pins))
    return None


_LEAVE: LiteralString = """
UPDATE executions_execution
SET dispatched_at = clock_timestamp(), resends = resends + 1
WHERE id = %(execution)s AND epoch = %(epoch)s
RETURNING id
"""


def leave(execution_id: UUID, *, epoch: int) -> bool:
    """Note that an execution was looked at and waits for nothing but its timers."""
    return bool(fetch(_LEAVE, {"execution": execution_id, "epoch": epoch}))


_NEXT_EPOCH: LiteralString = """
UPDATE executions_execution
SET epoch = epoch + 1, cursor = %(block)s, dispatched_at = clock_timestamp(),
  resends = resends + 1
WHERE id = %(execution)s AND epoch = %(epoch)s AND status IN ('pending', 'running')
RETURNING epoch
"""


def next_epoch(execution_id: UUID, *, epoch: int, block: int) -> int | None:
    """Make every message sent so far stale; None when another dispatcher won."""
    params = {"execution": execution_id, "epoch": epoch, "block": block}
    for (new_epoch,) in fetch(_NEXT_EPOCH, params):
        return int(new_epoch)
    return None
