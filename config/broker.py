"""
Kombu's Redis transport, made fit for many short messages.

Kombu makes a new client for each command, which costs far more than the command: of
a worker with hundreds of slots it was three quarters of all that its consumer did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


class QoS(kombu_redis.QoS):
    """
    Notes what was delivered, and what was acknowledged, without a transaction.

    Its two commands need none: they travel together and can be repeated, and one
    without the other does no harm. The transaction took longer than they do.
    """

    channel: Any

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        with self.channel.conn_or_acquire(client) as acquired:
            yield pipe or acquired.pipeline(transaction=False)


class Channel(kombu_redis.Channel):
    """A channel that keeps its client for as long as it has the pool behind it."""

    QoS = QoS
    _kept: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> redis.Redis:
        if asynchronous:  # these hold a connection each, and wait on it
            return self._made(asynchronous=True)
        kept = self._kept
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept = self._made(asynchronous=False)
        return kept

    def _made(self, *, asynchronous: bool) -> redis.Redis:
        make: Callable[..., redis.Redis] = super()._create_client  # type: ignore[misc]
        return make(asynchronous=asynchronous)


class Transport(kombu_redis.Transport):
    Channel = Channel


def register() -> None:
    """Have every broker's address of Redis's scheme served so."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
