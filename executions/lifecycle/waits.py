"""
Steps that no worker does: they begin to wait, for the clock or for others.

While it waits, such a step takes no worker, no message and no connection. What it waits
for comes from outside, or from its frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from executions.database import decoded, fetch, json_or_null
from executions.lifecycle.claims import (
    BEGUN,
    CLAIMED,
    IN_FRAME,
    NOT_RUNNING,
    STARTING,
    Claim,
    NewRun,
    within,
)
from executions.lifecycle.locking import lock_execution
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.lifecycle.timers import wake_execution

_BEGIN: LiteralString = """
WITH pace AS MATERIALIZED (SELECT 1 AS set),
{starting},
{framed}
s AS (
  INSERT INTO executions_steprun AS s
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes, fence,
     input, state, awaits, retry_at, started_at)
  SELECT %(id)s, e.id, %(ordinal)s, %(path)s, %(key)s, '', 'waiting', 1, 0, 1,
    %(input)s::jsonb, {state}, %(awaits)s::text, {due}, clock_timestamp()
  FROM {within}
  ON CONFLICT (id) DO UPDATE SET
    status = 'waiting', attempt = s.attempt + 1, fence = s.fence + 1,
    input = excluded.input, state = excluded.state, worker = NULL,
    awaits = excluded.awaits, retry_at = excluded.retry_at,
    started_at = coalesce(s.started_at, excluded.started_at)
  WHERE s.status = 'pending'
  RETURNING s.attempt, s.crashes, s.spent, s.fence, s.attempt_deadline, s.deadline_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {begun}
  UNION ALL
  SELECT %(execution)s, 'step.started', %(path)s,
    jsonb_build_object('attempt', s.attempt) FROM s)
SELECT {claimed} FROM s, e
"""
_DUE: LiteralString = """coalesce(%(until)s::timestamptz,
  clock_timestamp() + %(in_ms)s::bigint * interval '1 ms')"""
_STATE: LiteralString = """CASE WHEN %(afresh)s
  THEN jsonb_build_object('since', clock_timestamp()) ELSE %(state)s::jsonb END"""


def _begin_sql(*, in_frame: bool) -> LiteralString:
    return _BEGIN.format(
        starting=STARTING.format(lock=NOT_RUNNING),
        framed=IN_FRAME if in_frame else "",
        within=within(in_frame=in_frame),
        begun=BEGUN,
        claimed=CLAIMED,
        due=_DUE,
        state=_STATE,
    )


_BEGINS: Mapping[bool, LiteralString] = {
    in_frame: _begin_sql(in_frame=in_frame) for in_frame in (False, True)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    What a step waits for, besides its frames.

    An event of a name, or the clock: a moment or, without one, some milliseconds. Of
    events those count that came since the execution was made or, `afresh`, since the
    step began to wait.
    """

    event: str | None = None
    afresh: bool = False
    until: datetime | None = None
    in_ms: int | None = None


_FRAMES_ONLY = Waiting()


def begin_waiting(
    run: NewRun, *, state: Any = None, waits: Waiting = _FRAMES_ONLY
) -> Claim | None:
    """
    Let a step begin that no worker does: it waits for its frames, or for others.

    None when it has begun before, or must not begin. To be called in a transaction,
    which holds the execution's row from here on.
    """
    lock_execution(run.execution_id)
    params = run.params() | {
        "state": json_or_null(state),
        "awaits": waits.event,
        "afresh": waits.afresh,
        "until": waits.until,
        "in_ms": waits.in_ms,
    }
    for row in fetch(_BEGINS[run.frame is not None], params):
        if waits.until or waits.in_ms is not None:
            wake_execution(run.execution_id, at=waits.until, in_ms=waits.in_ms or 0)
        return Claim.of(run, row)
    return None


_PUT_OFF: LiteralString = """
UPDATE executions_steprun s SET retry_at = {due}, state = %(state)s::jsonb
WHERE s.id = %(id)s AND s.status = 'waiting' RETURNING s.id
"""
_PUT_OFF_TO = _PUT_OFF.format(due=_DUE)


def put_off(
    run: NewRun, *, state: Any, until: datetime | None, in_ms: int | None
) -> None:
    """Let a step go on waiting, to a later time; without one, for ever."""
    params = {
        "id": run.id,
        "state": json_or_null(state),
        "until": until,
        "in_ms": in_ms,
    }
    fetch(_PUT_OFF_TO, params)
    if until or in_ms is not None:
        wake_execution(run.execution_id, at=until, in_ms=in_ms or 0)


_RECALL: LiteralString = """
SELECT s.state FROM executions_steprun s WHERE s.id = %(id)s
"""


def recall(run: NewRun) -> Any:
    """Return what a step keeps in mind."""
    for (state,) in fetch(_RECALL, {"id": run.id}):
        return decoded(state)
    return None


_REMEMBER: LiteralString = """
UPDATE executions_steprun s SET state = %(state)s::jsonb WHERE s.id = %(id)s
RETURNING s.id
"""


def remember(run: NewRun, state: Any) -> None:
    """Have a step keep something in mind."""
    fetch(_REMEMBER, {"id": run.id, "state": json_or_null(state)})


_ROUSE: LiteralString = """
UPDATE executions_execution x SET status = 'running'
WHERE x.id = %(execution)s AND x.status = 'waiting' RETURNING x.id
"""


def rouse(execution_id: UUID) -> None:
    """Let an execution run again that waited for something outside."""
    fetch(_ROUSE, {"execution": execution_id})


_TELL: LiteralString = """
INSERT INTO executions_event (execution_id, type, path, data)
VALUES (%(execution)s, %(type)s, %(path)s, %(data)s::jsonb) RETURNING id
"""


def tell(run: NewRun, type_: str, data: Any = None) -> None:
    """Put on record what happened to a step that waits."""
    params = {
        "execution": run.execution_id,
        "type": f"step.{type_}",
        "path": run.path,
        "data": json_or_null(data),
    }
    fetch(_TELL, params)


_DUE_WAITS: LiteralString = f"""
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status = 'waiting' AND s.cursor IS NULL
  AND s.retry_at <= clock_timestamp() AND {BOUNDED}
"""


def due_waits(execution_id: UUID) -> list[str]:
    """List the steps, by path, that have waited long enough."""
    params = {"execution": execution_id, **bounds(execution_id)}
    return [row[0] for row in fetch(_DUE_WAITS, params)]
