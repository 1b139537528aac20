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
from collections.abc import Mapping, Sequence
from time import monotonic
from uuid import UUID

import redis
from django.conf import settings

log = logging.getLogger(__name__)

MOVES = "core:executions"
TEXTS = "core:texts"
_TEXTS_EVERY_S = 0.1

Told = tuple[UUID, str, int]  # the execution, the step's path, the attempt


class Announcer:
    """The thread of one process that publishes what moved and what was said."""

    def __init__(self) -> None:
        self._moved: set[UUID] = set()
        self._said: dict[Told, list[str]] = {}
        self._said_at = 0.0  # monotonic seconds
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        )
        threading.Thread(target=self._live, name="announcer", daemon=True).start()

    def add(self, execution_id: UUID) -> None:
        with self._lock:
            self._moved.add(execution_id)
        self._wake.set()

    def say(self, told: Told, text: str) -> None:
        with self._lock:
            self._said.setdefault(told, []).append(text)
        self._wake.set()

    def _live(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            self._let_texts_grow()
            with self._lock:
                moved, self._moved = self._moved, set()
                said, self._said = self._said, {}
            self._publish(moved, said)

    def _let_texts_grow(self) -> None:
        """Gather texts for a while; what moves is told at once, and they before it."""
        due = self._said_at + _TEXTS_EVERY_S
        while not self._moved and (left := due - monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()

    def _publish(self, moved: set[UUID], said: Mapping[Told, Sequence[str]]) -> None:
        try:
            if said:
                self._said_at = monotonic()
                self._client.publish(TEXTS, _spelled(said))
            if moved:
                self._client.publish(MOVES, "\n".join(map(str, moved)))
        except redis.RedisError as error:
            log.debug("Viewers were not told: %s", error)


def _spelled(said: Mapping[Told, Sequence[str]]) -> str:
    return "\n".join(
        json.dumps([str(execution), path, attempt, "".join(pieces)])
        for (execution, path, attempt), pieces in said.items()
    )


_announcers: dict[int, Announcer] = {}


def announce(execution_id: UUID) -> None:
    """Let viewers of an execution know that it has new events."""
    _announcer().add(execution_id)


def say(execution_id: UUID, path: str, attempt: int, text: str) -> None:
    """Let them read what a step's agent has just written."""
    _announcer().say((execution_id, path, attempt), text)


def _announcer() -> Announcer:
    """Return this process's own: what a parent had does not live after a fork."""
    pid = os.getpid()
    if pid not in _announcers:
        _announcers.clear()
        _announcers[pid] = Announcer()
    return _announcers[pid]
