"""The queues as Valkey holds them: counted, copied, and refused."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import redis

from executions.signatures import QUEUES
from tests.faults.valkey_proxy import twin


def depth(url: str) -> int:
    """Count the messages that no worker has taken."""
    with redis.Redis.from_url(url) as client:
        return sum(client.llen(queue) for queue in QUEUES)


def unacknowledged(url: str) -> int:
    """Count the messages that workers have taken and not yet acknowledged."""
    with redis.Redis.from_url(url) as client:
        return int(client.hlen("unacked"))


def copy_messages(url: str, *, times: int, path: str | None = None) -> int:
    """
    Put copies of queued messages behind them; return how many were copied.

    `path` limits it to the messages for that step.
    """
    copied = 0
    with redis.Redis.from_url(url) as client:
        for queue in QUEUES:
            for message in client.lrange(queue, 0, -1):
                if path in (None, _kwargs(message).get("path")):
                    copied += 1
                    client.lpush(queue, *(twin(message) for _ in range(times)))
    return copied


def send_unknown_task(url: str, queue: str) -> None:
    """Send what a newer release might: a queued message's copy with another name."""
    with redis.Redis.from_url(url) as client:
        message = json.loads(client.lrange(queue, 0, 0)[0])
        message["headers"]["task"] = "executions.of_tomorrow"
        client.rpush(queue, json.dumps(message))  # it is the next to be taken


def _kwargs(message: bytes) -> dict[str, Any]:
    _, kwargs, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return dict(kwargs)


@contextlib.contextmanager
def read_only(url: str) -> Iterator[None]:
    """Make Valkey a replica of a primary that does not exist: -READONLY."""
    with redis.Redis.from_url(url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def full(url: str) -> Iterator[None]:
    """Give Valkey less memory than it uses: -OOM, since it never evicts."""
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")
