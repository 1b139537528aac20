"""
What lies in the queues, and whether it is being taken.

A backlog is no fault: that nothing has been taken from it for a while is one. Times
are POSIX seconds of the machines that sent and took the messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import redis
from django.conf import settings

from executions.database import fetch
from executions.signatures import QUEUES
from executions.waiting import Served, crowd

# What cannot be read tells no time; so many of the oldest messages are looked at.
_LOOKED_AT = 5

_TAKEN: LiteralString = """
SELECT queue.key, max(queue.value::float8)
FROM executions_worker w, jsonb_each_text(w.taken) AS queue
WHERE w.lease_until > clock_timestamp() GROUP BY queue.key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """A queue's messages, and when a worker that is alive last took one."""

    queue: str
    length: int
    oldest_at: float | None = None
    taken_at: float | None = None

    def age_s(self, now: float) -> float:
        """Tell for how long its oldest message has been lying there."""
        return 0.0 if self.oldest_at is None else max(0.0, now - self.oldest_at)

    def idle_s(self, now: float) -> float:
        """Tell for how long there was something to take, and nobody took it."""
        taken = self.age_s(now) if self.taken_at is None else now - self.taken_at
        return max(0.0, min(self.age_s(now), taken))

    def stands_still(self, *, now: float, limit_s: float) -> bool:
        return self.idle_s(now) > limit_s


def broker() -> redis.Redis:
    """Connect to Valkey for a question or two, and give up soon when it is away."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
    )


def read(client: redis.Redis) -> list[Backlog]:
    """Read every queue, from Valkey and the workers' rows."""
    with client.pipeline(transaction=False) as asked:
        for queue in QUEUES:
            asked.llen(queue)
            asked.lrange(queue, -_LOOKED_AT, -1)
        answers: list[Any] = asked.execute()
    taken: Mapping[str, float] = dict(fetch(_TAKEN, {}))
    return [
        Backlog(
            queue=queue,
            length=length,
            oldest_at=_published_at(reversed(messages)),
            taken_at=taken.get(queue),
        )
        for queue, length, messages in zip(
            QUEUES, answers[::2], answers[1::2], strict=True
        )
    ]


def in_words(backlog: Backlog, served: Served | None, *, now: float) -> str:
    """Say how a queue stands: what is in it, for how long, and who would take it."""
    if not backlog.length:
        return f"{backlog.queue}: empty"
    messages = "1 message" if backlog.length == 1 else f"{backlog.length} messages"
    who = crowd(served) if served else "no live worker"
    return (
        f"{backlog.queue}: {messages}, the oldest for {backlog.age_s(now):.0f} s, none "
        f"taken for {backlog.idle_s(now):.0f} s; {who}"
    )


def _published_at(messages: Iterable[bytes | str]) -> float | None:
    """Return the time of the first message that tells one."""
    return next(filter(None, map(_time_of, messages)), None)


def _time_of(message: bytes | str) -> float | None:
    try:
        time = json.loads(message)["headers"]["published_at"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    is_number = isinstance(time, int | float) and not isinstance(time, bool)
    return float(time) if is_number else None
