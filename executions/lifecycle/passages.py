"""How an execution comes to be and moves on: created, advanced, sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from executions.database import decoded, fetch, json_or_null
from executions.identity import step_run_id
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.models import Execution

_CREATE: LiteralString = """
WITH made AS (
  INSERT INTO executions_execution
    (id, orchestration_id, version_id, status, epoch, cursor, role_pins, input,
     idempotency_key, created_by_id, origin, parent_execution_id, parent_path, awaited,
     depth, api_key_id, unwinds, deadline_at, wake_at, resends)
  VALUES (%(id)s, %(orchestration)s, %(version)s, 'pending', 1, %(cursor)s,
     %(pins)s::jsonb, %(input)s::jsonb, %(idempotency_key)s, %(created_by)s,
     %(origin)s::jsonb, %(parent)s, %(parent_path)s, %(awaited)s, %(depth)s,
     %(api_key)s::uuid, %(unwinds)s,
     clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms',
     clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms', 0)
  ON CONFLICT (created_by_id, idempotency_key) WHERE idempotency_key IS NOT NULL
    DO NOTHING
  RETURNING id, created_at),
told AS (
  INSERT INTO executions_event (execution_id, type, data)
  SELECT id, 'execution.created', %(origin)s::jsonb FROM made)
SELECT created_at FROM made
"""


def create(execution: Execution, *, timeout_ms: int | None) -> bool:
    """
    Insert an execution as pending; False when its idempotency key is taken.

    A second request with one key waits here until the first has committed.
    """
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
            "cursor": execution.cursor,
            "origin": json_or_null(execution.origin),
            "parent": execution.parent_execution_id,
            "parent_path": execution.parent_path,
            "awaited": execution.awaited,
            "depth": execution.depth,
            "api_key": execution.api_key_id,
            "unwinds": execution.unwinds,
            "timeout_ms": timeout_ms,
        },
    )
    for (created_at,) in rows:
        execution.created_at = execution.dispatched_at = created_at
    return bool(rows)


_CREATE_MANY: LiteralString = """
WITH made AS (
  INSERT INTO executions_execution
    (id, orchestration_id, version_id, status, epoch, cursor, role_pins, input,
     created_by_id, api_key_id, unwinds, deadline_at, wake_at, resends)
  SELECT new.id, %(orchestration)s, %(version)s, 'pending', 1, 0, %(pins)s::jsonb,
     new.input, %(created_by)s, %(api_key)s::uuid, %(unwinds)s,
     clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms',
     clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms', 0
  FROM unnest(%(ids)s::uuid[], %(inputs)s::jsonb[]) AS new(id, input)
  RETURNING id, created_at),
told AS (
  INSERT INTO executions_event (execution_id, type)
  SELECT id, 'execution.created' FROM made)
SELECT id, created_at FROM made
"""


def create_many(executions: Sequence[Execution], *, timeout_ms: int | None) -> None:
    """Insert executions of one version, with the same pins, as pending: all or none."""
    first = executions[0]
    params = {
        "ids": [execution.pk for execution in executions],
        "inputs": [Jsonb(execution.input) for execution in executions],
        "orchestration": first.orchestration_id,
        "version": first.version_id,
        "pins": json_or_null(first.role_pins),
        "created_by": first.created_by_id,
        "api_key": first.api_key_id,
        "unwinds": first.unwinds,
        "timeout_ms": timeout_ms,
    }
    made = dict(fetch(_CREATE_MANY, params))
    for execution in executions:
        execution.created_at = execution.dispatched_at = made[execution.pk]


_COPY: LiteralString = f"""
WITH copied AS (
  INSERT INTO executions_steprun
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, input, output, exports, error, started_at, finished_at)
  SELECT new.id, %(target)s, new.ordinal, s.path, s.key, s.role_name, s.status, 0, 0,
     1, s.input, s.output, s.exports, s.error, s.started_at, s.finished_at
  FROM unnest(%(ids)s::uuid[], %(ordinals)s::int[], %(paths)s::text[])
    AS new(id, ordinal, path)
  JOIN executions_steprun s
    ON s.execution_id = %(source)s AND s.path = new.path AND {BOUNDED}
  RETURNING path),
told AS (
  INSERT INTO executions_event (execution_id, type, path)
  SELECT %(target)s, 'step.copied', path FROM copied)
SELECT count(*) FROM copied
"""


def copy_runs(source: UUID, target: UUID, *, places: Mapping[str, int]) -> int:
    """
    Give an execution the outcomes that another's steps had, at their own places.

    `places` maps paths to ordinals. Attempts and usage stay with the source.
    Returns how many were there to copy.
    """
    params = {
        "source": source,
        **bounds(source),
        "target": target,
        "paths": list(places),
        "ordinals": list(places.values()),
        "ids": [step_run_id(target, path) for path in places],
    }
    return int(fetch(_COPY, params)[0][0])


_ADVANCE: LiteralString = """
UPDATE executions_execution
SET cursor = %(block)s, dispatched_at = clock_timestamp()
WHERE id = %(execution)s AND epoch = %(epoch)s AND cursor < %(block)s
  AND status = 'running' AND cancel_request IS NULL
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
  AND cancel_request IS NULL
RETURNING epoch
"""


def next_epoch(execution_id: UUID, *, epoch: int, block: int) -> int | None:
    """Make every message sent so far stale; None when another dispatcher won."""
    params = {"execution": execution_id, "epoch": epoch, "block": block}
    for (new_epoch,) in fetch(_NEXT_EPOCH, params):
        return int(new_epoch)
    return None
