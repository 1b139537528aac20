"""
Events from outside, and who takes which.

An event is written before anybody looks for steps that wait for it, and a step's wait is
written before it looks for events that are there: so one of the two sees the other. A
delivery is written with the step's settlement, and each execution takes an event once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from executions.database import decoded, fetch, json_or_null
from executions.lifecycle.claims import NewRun
from executions.lifecycle.pruning import BOUNDED, bounds

LISTENERS_AT_ONCE = 100
_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An event as it was posted."""

    id: UUID
    name: str
    payload: Any
    created_at: datetime

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Posted:
        """Read what `_POSTED` selects."""
        id_, name, payload, created_at = row
        return cls(id=id_, name=name, payload=decoded(payload), created_at=created_at)

    def seen(self) -> dict[str, Any]:
        """Return what conditions see of it."""
        return {
            "id": str(self.id),
            "name": self.name,
            "payload": self.payload,
            "created_at": self.created_at.isoformat(),
        }


_POSTED: LiteralString = "g.id, g.name, g.payload, g.created_at"
_INSERT: LiteralString = f"""
INSERT INTO executions_signal AS g
  (id, name, payload, execution_id, created_by_id, idempotency_key, created_at)
VALUES (%(id)s, %(name)s, %(payload)s::jsonb, %(execution)s, %(created_by)s,
  %(idempotency_key)s, clock_timestamp())
ON CONFLICT (created_by_id, idempotency_key) WHERE idempotency_key IS NOT NULL
  DO NOTHING
RETURNING {_POSTED}
"""


def post_signal(
    id_: UUID,
    name: str,
    payload: Any,
    *,
    execution: UUID | None,
    created_by: int | None,
    idempotency_key: str | None,
) -> Posted | None:
    """Keep an event; None when its sender's idempotency key is taken."""
    params = {
        "id": id_,
        "name": name,
        "payload": json_or_null(payload),
        "execution": execution,
        "created_by": created_by,
        "idempotency_key": idempotency_key,
    }
    for row in fetch(_INSERT, params):
        return Posted.of(row)
    return None


# Whether the event `g` is one for the waiting step `s` of the execution `x`, `u` being
# its sender's account: those of staff are for everybody's executions.
_IS_FOR: LiteralString = """
  (g.execution_id = x.id OR g.execution_id IS NULL AND (
     g.created_by_id IS NOT DISTINCT FROM x.created_by_id
     OR u.is_staff OR u.is_superuser))
  AND g.created_at >= coalesce((s.state->>'since')::timestamptz, x.created_at)
  AND NOT EXISTS (SELECT 1 FROM executions_delivery d
    WHERE d.execution_id = x.id AND d.signal_id = g.id)
"""
# Of executions that are paused none: they look for themselves when they go on.
_GOES_ON: LiteralString = """
  s.status = 'waiting' AND s.awaits IS NOT NULL
  AND x.status IN ('pending', 'running', 'waiting')
  AND x.cancel_request IS NULL
"""
_LISTENERS: LiteralString = f"""
SELECT s.started_at, s.id, s.execution_id, s.path
FROM executions_signal g
LEFT JOIN auth_user u ON u.id = g.created_by_id
JOIN executions_steprun s ON s.awaits = g.name
JOIN executions_execution x ON x.id = s.execution_id
WHERE g.id = %(signal)s AND {_GOES_ON} AND {_IS_FOR}
  AND (s.started_at, s.id) > (%(from)s::timestamptz, %(after)s::uuid)
ORDER BY s.started_at, s.id LIMIT %(page)s
"""
_LONG_AGO: LiteralString = "-infinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A step that waits for an event, and since when."""

    execution: UUID
    path: str
    since: datetime
    run: UUID


def listeners(signal: UUID, *, after: Listener | None = None) -> list[Listener]:
    """List the first steps that wait for an event, in the order in which they began."""
    params = {
        "signal": signal,
        "from": after.since if after else _LONG_AGO,
        "after": after.run if after else UUID(int=0),
        "page": LISTENERS_AT_ONCE,
    }
    return [
        Listener(since=since, run=run, execution=execution, path=path)
        for since, run, execution, path in fetch(_LISTENERS, params)
    ]


_LISTENING: LiteralString = f"""
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status = 'waiting' AND s.awaits IS NOT NULL
  AND {BOUNDED}
ORDER BY s.started_at, s.id
"""


def listening(execution_id: UUID) -> list[str]:
    """List an execution's steps that wait for an event, by path."""
    params = {"execution": execution_id, **bounds(execution_id)}
    return [row[0] for row in fetch(_LISTENING, params)]


_HEARD: LiteralString = f"""
SELECT {_POSTED}
FROM executions_steprun s
JOIN executions_execution x ON x.id = s.execution_id
JOIN executions_signal g ON g.name = s.awaits
LEFT JOIN auth_user u ON u.id = g.created_by_id
WHERE s.id = %(run)s AND s.status = 'waiting' AND {_IS_FOR}
  AND (g.created_at, g.id) > (%(from)s::timestamptz, %(after)s::uuid)
ORDER BY g.created_at, g.id LIMIT %(page)s
"""


def signals_for(run: NewRun) -> Iterator[Posted]:
    """Yield the events that a waiting step may take, in the order of their arrival."""
    last: Posted | None = None
    while True:
        params = {
            "run": run.id,
            "from": last.created_at if last else _LONG_AGO,
            "after": last.id if last else UUID(int=0),
            "page": _PAGE,
        }
        page = [Posted.of(row) for row in fetch(_HEARD, params)]
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


# The event's row is held, so that it cannot leave meanwhile.
_TAKE: LiteralString = """
WITH kept AS (
  SELECT g.id FROM executions_signal g WHERE g.id = %(signal)s FOR KEY SHARE OF g)
INSERT INTO executions_delivery (signal_id, execution_id, path, created_at)
SELECT kept.id, %(execution)s, %(path)s, clock_timestamp() FROM kept
ON CONFLICT (execution_id, signal_id) DO NOTHING
RETURNING id
"""


def take_signal(run: NewRun, signal: UUID) -> bool:
    """
    Note that a step's execution has taken an event; False when it had, or it is gone.

    To be called in the transaction that settles the step.
    """
    params = {"signal": signal, "execution": run.execution_id, "path": run.path}
    return bool(fetch(_TAKE, params))


_DELIVERED: LiteralString = """
SELECT count(*) FROM executions_delivery d WHERE d.signal_id = %(signal)s
"""


def deliveries(signal: UUID) -> int:
    """Count the executions that have taken an event."""
    return int(fetch(_DELIVERED, {"signal": signal})[0][0])


_HANDED_OUT: LiteralString = """
UPDATE executions_signal SET handed_out_at = clock_timestamp()
WHERE id = %(signal)s AND handed_out_at IS NULL RETURNING id
"""


def handed_out(signal: UUID) -> bool:
    """Note that everybody who waited for an event has been told; False if it was so."""
    return bool(fetch(_HANDED_OUT, {"signal": signal}))


_LEFT: LiteralString = f"""
SELECT {_POSTED} FROM executions_signal g
WHERE g.handed_out_at IS NULL
  AND g.created_at < clock_timestamp() - %(age)s::interval
ORDER BY g.created_at LIMIT %(page)s
"""


def signals_left(*, age: timedelta, most: int = _PAGE) -> list[Posted]:
    """List events, the oldest first, that are not handed out though so old."""
    return [Posted.of(row) for row in fetch(_LEFT, {"age": age, "page": most})]


# Ids grow with time: the primary key is read from its low end only.
_FORGET: LiteralString = """
WITH old AS (
  SELECT g.id FROM executions_signal g
  WHERE g.id < %(before)s AND g.created_at < %(cutoff)s AND g.execution_id IS NULL
  ORDER BY g.id LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
taken AS (
  DELETE FROM executions_delivery d USING old WHERE d.signal_id = old.id)
DELETE FROM executions_signal g USING old WHERE g.id = old.id RETURNING g.id
"""


def forget_signals(cutoff: datetime, *, before: UUID, batch: int) -> int:
    """Remove old events of everybody's; ids from `before` on are younger."""
    params = {"cutoff": cutoff, "before": before, "batch": batch}
    return len(fetch(_FORGET, params))
