"""
Live events: history first, then what happens, as Server-Sent Events.

PostgreSQL is the source. A viewer holds no database connection between two reads:
the hub wakes it, and a sweep finds what no wake-up told of.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from executions.database import UNREACHABLE
from executions.live.hub import Hub
from executions.models import Event, Execution
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
    """What one read found; `is_over` when nothing more will ever come."""

    events: list[Event]
    is_over: bool = False


async def stream(execution_id: UUID, cursor: Cursor) -> AsyncIterator[str]:
    """Yield the text of the event stream from `cursor` to the execution's end."""
    yield f"retry: {_RECONNECT_MS}\n\n"
    async with Hub.of_this_loop().watching(execution_id) as wake:
        beat, pause = time.monotonic(), SOONEST_S
        while True:
            wake.clear()
            news = await _read(execution_id, cursor)
            for event in news.events:
                cursor = Cursor(event.transaction_id, event.pk)
                yield _written(event, cursor)
            if news.is_over:
                yield f"event: end\ndata: {json.dumps({'id': str(cursor)})}\n\n"
                return
            if news.events:
                beat, pause = time.monotonic(), SOONEST_S
                continue
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                yield ": still here\n\n"
            pause = SOONEST_S if await _woken(wake, pause) else min(2 * pause, SWEEP_S)


async def _woken(wake: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await wake.wait()
    except TimeoutError:
        return False


async def _read(execution_id: UUID, cursor: Cursor) -> News:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_readers, _news, execution_id, cursor)


def _news(execution_id: UUID, cursor: Cursor) -> News:
    """Read what came after `cursor`; a database that is away has no news."""
    place = (cursor.transaction, cursor.event)
    try:
        if events := list(Event.objects.after(execution_id, place)[:BATCH]):
            return News(events=events)
        status = Execution.objects.values_list("status", flat=True).get(pk=execution_id)
        # What came with the end, or is held back by an older transaction, still open,
        # is there once the status tells of the end: it is asked for afterwards.
        is_over = (
            status in TERMINAL_EXECUTION
            and not Event.objects.beyond(execution_id, place).exists()
        )
        return News(events=[], is_over=is_over)
    except Execution.DoesNotExist:
        return News(events=[], is_over=True)
    except UNREACHABLE:
        return News(events=[])
    finally:
        connection.close()


def _written(event: Event, cursor: Cursor) -> str:
    data = json.dumps(_described(event, cursor), cls=DjangoJSONEncoder)
    return f"id: {cursor}\nevent: {event.type}\ndata: {data}\n\n"


def _described(event: Event, cursor: Cursor) -> dict[str, Any]:
    return {
        "id": str(cursor),
        "type": event.type,
        "execution_id": event.execution_id,
        "path": event.path,
        "step_key": event.path and step_key_of(event.path),
        "at": event.created_at,
        "data": event.data,
    }


def step_key_of(path: str) -> str:
    """Return the key of the step that a path leads to."""
    return path.rpartition("/")[2].partition("[")[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:30]) < 2**63
