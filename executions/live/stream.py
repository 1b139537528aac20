"""
Live events: history first, then what happens, as Server-Sent Events.

PostgreSQL is the source. A viewer holds no database connection between two reads:
the hub wakes it, and a sweep finds what no wake-up told of.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from executions.database import UNREACHABLE, decoded, fetch
from executions.live.hub import Hub, Viewer
from executions.states import TERMINAL_EXECUTION

BATCH = 500
HEARTBEAT_S = 15.0
SOONEST_S = 0.25
SWEEP_S = 2.0
_RECONNECT_MS = 2000

_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")


class BadCursor(ValueError):
    """A place in the stream is the `id` of an event, such as `812-45`."""


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in an execution's events: after this transaction's event."""

    transaction: int = 0
    event: int = 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        transaction, _, event = text.partition("-")
        if not (_is_number(transaction) and _is_number(event)):
            raise BadCursor(BadCursor.__doc__)
        return cls(int(transaction), int(event))

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event}"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """
    What one read found, as text, and the place behind it.

    `is_full` when more could be read at once; `is_over` when nothing will ever come.
    """

    text: str
    cursor: Cursor
    is_full: bool = False
    is_over: bool = False


# Identities are given out before a transaction commits, so a lower one may appear
# later; the pair (transaction, id) of transactions that are all over is a total order
# that never grows in the middle. What is settled so stands before what is not.
_NEWS: LiteralString = """
SELECT x.status, e.settled, e.transaction_id::text, e.id, e.type, e.path, e.created_at,
  e.data
FROM executions_execution x LEFT JOIN LATERAL (
  SELECT v.*, v.transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled
  FROM executions_event v
  WHERE v.execution_id = %(execution)s
    AND (v.transaction_id, v.id) > (%(transaction)s::text::xid8, %(event)s::bigint)
  ORDER BY v.transaction_id, v.id LIMIT %(limit)s::int) e ON true
WHERE x.id = %(execution)s
ORDER BY e.transaction_id, e.id
"""


async def stream(execution_id: UUID, news: News) -> AsyncIterator[str]:
    """Yield the text of the event stream, from the first news to the last."""
    yield f"retry: {_RECONNECT_MS}\n\n{news.text}"
    if news.is_over:
        return
    async with Hub.of_this_loop().watching(execution_id) as wake:
        beat, pause = time.monotonic(), SOONEST_S
        while True:
            wake.clear()
            news = await _read(execution_id, news.cursor)
            if text := _written(wake) + news.text:
                beat, pause = time.monotonic(), SOONEST_S
                yield text
            if news.is_over:
                return
            if news.is_full:
                continue
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                yield ": still here\n\n"
            pause = SOONEST_S if await _woken(wake, pause) else min(2 * pause, SWEEP_S)


def _written(viewer: Viewer) -> str:
    """Spell what agents wrote meanwhile; it has no id, for it cannot be had again."""
    spelled = []
    while viewer.texts:
        text = viewer.texts.popleft()
        data = {**text._asdict(), "step_key": step_key_of(text.path)}
        spelled.append(f"event: step.text\ndata: {json.dumps(data)}\n\n")
    return "".join(spelled)


async def _woken(wake: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await wake.wait()
    except TimeoutError:
        return False


async def _read(execution_id: UUID, cursor: Cursor) -> News:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_readers, _read_apart, execution_id, cursor)


def _read_apart(execution_id: UUID, cursor: Cursor) -> News:
    """Read in a thread that is not to keep a connection."""
    try:
        return news_after(execution_id, cursor)
    finally:
        connection.close()


def news_after(execution_id: UUID, cursor: Cursor) -> News:
    """
    Read what came after `cursor`; a database that is away has no news.

    One snapshot shows the status and the events: what came with the end is seen with
    it, and what an older transaction, still open, holds back keeps the stream open.
    """
    asked = {
        "execution": execution_id,
        "transaction": str(cursor.transaction),
        "event": cursor.event,
        "limit": BATCH,
    }
    try:
        rows = fetch(_NEWS, asked)
    except UNREACHABLE:
        return News(text="", cursor=cursor)
    events = [_Event(execution_id, *row[2:]) for row in rows if row[1]]
    cursor = events[-1].cursor if events else cursor
    is_over = _is_over(rows, len(events))
    blocks = [event.written() for event in events]
    if is_over:
        blocks.append(f"event: end\ndata: {json.dumps({'id': str(cursor)})}\n\n")
    return News(
        text="".join(blocks),
        cursor=cursor,
        is_full=len(events) == BATCH,
        is_over=is_over,
    )


def _is_over(rows: Sequence[tuple[Any, ...]], told: int) -> bool:
    """Tell whether all was told of an execution that ended, or is not there."""
    if not rows:
        return True
    status, settled, *_ = rows[-1]
    return status in TERMINAL_EXECUTION and settled is not False and told < BATCH


@dataclass(frozen=True, slots=True)
class _Event:
    """An event, as it was read."""

    execution_id: UUID
    transaction: str
    id: int
    type: str
    path: str | None
    at: datetime
    data: Any

    @property
    def cursor(self) -> Cursor:
        return Cursor(int(self.transaction), self.id)

    def written(self) -> str:
        data = json.dumps(self._described(), cls=DjangoJSONEncoder)
        return f"id: {self.cursor}\nevent: {self.type}\ndata: {data}\n\n"

    def _described(self) -> dict[str, Any]:
        return {
            "id": str(self.cursor),
            "type": self.type,
            "execution_id": self.execution_id,
            "path": self.path,
            "step_key": self.path and step_key_of(self.path),
            "at": self.at,
            "data": decoded(self.data),
        }


def step_key_of(path: str) -> str:
    """Return the key of the step that a path leads to."""
    return path.rpartition("/")[2].partition("[")[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:30]) < 2**63
