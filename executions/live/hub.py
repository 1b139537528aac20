"""
One subscription of the web process, fanned out to all its viewers.

Messages of moves only wake: whoever misses one finds the same news at the next sweep.
Those of what agents write are handed on as they are. The subscription is kept for a
while after the last viewer, since it costs more than most of them do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import redis.asyncio
from django.conf import settings

from executions.announce import MOVES, TEXTS

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
LINGER_S = 30.0
_LISTEN_S = 10.0
_MOST_TEXTS = 1_000  # that wait for a viewer who is slow to read; older ones are lost

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


class Viewer(asyncio.Event):
    """Is set whenever there may be news; `texts` are what agents wrote meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: deque[Text] = deque(maxlen=_MOST_TEXTS)


class Text(NamedTuple):
    """A piece of what the agent of a step writes."""

    path: str
    attempt: int
    text: str


class Hub:
    """The viewers of one event loop; it listens as long as there are any, and longer."""

    def __init__(self) -> None:
        self._viewers: dict[UUID, set[Viewer]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._left_at = 0.0

    @property
    def viewers(self) -> int:
        return sum(map(len, self._viewers.values()))

    @property
    def is_listening(self) -> bool:
        return self._listener is not None and not self._listener.done()

    @staticmethod
    def of_this_loop() -> Hub:
        loop = asyncio.get_running_loop()
        return _hubs.setdefault(loop, Hub())

    @asynccontextmanager
    async def watching(self, execution_id: UUID) -> AsyncIterator[Viewer]:
        """Lend an event that is set whenever the execution may have moved."""
        wake = Viewer()
        self._viewers.setdefault(execution_id, set()).add(wake)
        if not self.is_listening:
            self._listener = asyncio.create_task(self._listen(), name="live hub")
        try:
            yield wake
        finally:
            self._leave(execution_id, wake)

    def _leave(self, execution_id: UUID, wake: Viewer) -> None:
        viewers = self._viewers[execution_id]
        viewers.discard(wake)
        if not viewers:
            del self._viewers[execution_id]
        self._left_at = time.monotonic()

    async def _listen(self) -> None:
        """Stay subscribed; when Valkey is away, try again with a growing pause."""
        pause = FIRST_PAUSE_S
        while not self._is_over():
            try:
                async with aclosing(_messages()) as messages:
                    async for message in messages:
                        if self._is_over():
                            break
                        pause = FIRST_PAUSE_S
                        self._wake(message)
            except (redis.RedisError, OSError) as error:
                log.info("Live events come by sweeps only: %s", error)
            if not self._is_over():
                await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _is_over(self) -> bool:
        """Tell whether this task is to end: a viewer who comes then starts another."""
        if not self._viewers and time.monotonic() - self._left_at >= LINGER_S:
            self._listener = None
        return self._listener is not asyncio.current_task() or _is_cancelled()

    def _wake(self, message: Message | None) -> None:
        if message is None:  # nothing for a while
            return
        channel, data = message
        if not data:  # subscribed just now: anything may have happened before
            self._set(chain.from_iterable(self._viewers.values()))
        for line in data.decode(errors="replace").splitlines():
            if channel == TEXTS:
                self._hand_on(line)
            elif (execution_id := _id(line)) is not None:
                self._set(self._viewers.get(execution_id, ()))

    def _hand_on(self, line: str) -> None:
        execution, *text = json.loads(line)
        viewers = self._viewers.get(UUID(execution), ())
        for viewer in viewers:
            viewer.texts.append(Text(*text))
        self._set(viewers)

    @staticmethod
    def _set(wakes: Iterable[Viewer]) -> None:
        for wake in wakes:
            wake.set()


class Message(NamedTuple):
    """What was published to a channel; nothing, when that was subscribed to."""

    channel: str
    data: bytes


async def _messages() -> AsyncGenerator[Message | None]:
    """Yield an empty message when subscribed, then what is published; None: nothing."""
    client: Any = redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=5, health_check_interval=10
    )
    async with client, client.pubsub() as subscription:
        await subscription.subscribe(MOVES, TEXTS)
        while not _is_cancelled():
            message = await subscription.get_message(timeout=_LISTEN_S)
            if message is None:
                yield None
            else:
                is_said = message["type"] == "message"
                data = message["data"] if is_said else b""
                yield Message(message["channel"].decode(), data)


def _is_cancelled() -> bool:
    """
    Tell whether this task was told to end.

    The client may turn a cancellation that meets its own clean-up into an error of
    the connection; the task would then go on for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
