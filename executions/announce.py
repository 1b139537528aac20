"""
Tell viewers that an execution moved, or what is said in it, and make no worker wait.

A thread gathers what there is to tell and publishes it to a Valkey channel. Of moves
only the ids: viewers read the events from PostgreSQL, and what is lost here costs them
their next sweep. What agents write while they write it is on no record: it is told
here, and once more as a whole in the step's output.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import redis
from django.conf import settings

log = logging.getLogger(__name__)

MOVES = "core:executions"
TEXTS = "core:texts"
_TEXTS_EVERY_S = 0.1

Pending = Mapping[Any, Sequence[str]]


class Publisher:
    """The thread of one process that publishes to one channel, at most so often."""

    def __init__(
        self, channel: str, spell: Callable[[Pending], str], *, every_s: float
    ) -> None:
        self._channel, self._spell, self._every_s = channel, spell, every_s
        self._pending: dict[Any, list[str]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._pause = threading.Event()  # never set
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        )
        name = f"publisher {channel}"
        threading.Thread(target=self._live, name=name, daemon=True).start()

    def add(self, key: Any, *pieces: str) -> None:
        with self._lock:
            self._pending.setdefault(key, []).extend(pieces)
        self._wake.set()

    def _live(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            with self._lock:
                pending, self._pending = self._pending, {}
            self._publish(pending)
            self._pause.wait(self._every_s)

    def _publish(self, pending: Pending) -> None:
        try:
            self._client.publish(self._channel, self._spell(pending))
        except redis.RedisError as error:
            log.debug("Viewers were not told: %s", error)


def _spell_moves(pending: Pending) -> str:
    return "\n".join(map(str, pending))


def _spell_texts(pending: Pending) -> str:
    return "\n".join(
        json.dumps([str(execution), path, attempt, "".join(pieces)])
        for (execution, path, attempt), pieces in pending.items()
    )


_HOW: Mapping[str, tuple[Callable[[Pending], str], float]] = {
    MOVES: (_spell_moves, 0.0),
    TEXTS: (_spell_texts, _TEXTS_EVERY_S),
}
_publishers: dict[tuple[int, str], Publisher] = {}  # by process and channel


def announce(execution_id: UUID) -> None:
    """Let viewers of an execution know that it has new events."""
    _publisher(MOVES).add(execution_id)


def say(execution_id: UUID, path: str, attempt: int, text: str) -> None:
    """Let them read what a step's agent has just written."""
    _publisher(TEXTS).add((execution_id, path, attempt), text)


def _publisher(channel: str) -> Publisher:
    """Return this process's own: what a parent had does not live after a fork."""
    key = (os.getpid(), channel)
    found = _publishers.get(key)
    if found is None:
        spell, every_s = _HOW[channel]
        found = _publishers[key] = Publisher(channel, spell, every_s=every_s)
    return found
