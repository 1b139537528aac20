"""
Tell viewers that an execution moved, without making its worker wait.

A thread gathers the ids and publishes them to one Valkey channel; viewers then read
the events from PostgreSQL. What is lost here costs a viewer its next sweep, no more.
"""

from __future__ import annotations

import logging
import os
import threading
from uuid import UUID

import redis
from django.conf import settings

log = logging.getLogger(__name__)

CHANNEL = "core:executions"


class Announcer:
    """The thread of one process that publishes what moved."""

    def __init__(self) -> None:
        self._moved: set[UUID] = set()
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

    def _live(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            with self._lock:
                moved, self._moved = self._moved, set()
            self._publish(moved)

    def _publish(self, moved: set[UUID]) -> None:
        try:
            self._client.publish(CHANNEL, "\n".join(map(str, moved)))
        except redis.RedisError as error:
            log.debug("Viewers were not told: %s", error)


_announcers: dict[int, Announcer] = {}


def announce(execution_id: UUID) -> None:
    """Let viewers of an execution know that it has new events."""
    pid = os.getpid()
    if pid not in _announcers:
        _announcers.clear()  # what a parent process had does not live after a fork
        _announcers[pid] = Announcer()
    _announcers[pid].add(execution_id)
