"""
What the engine's tests stand on: empty queues, and this process as a worker.

A test module asks for it with `pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings

from executions.worker import leases
from executions.worker.leases import Worker
from roles import functions
from roles.functions import function
from tests.integration.engine import QUEUES, role


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The tests' own Valkey, with empty queues."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.delete(*QUEUES)
    yield client
    client.delete(*QUEUES)
    client.close()


@pytest.fixture
def broker_away(broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be sent: where the broker was, nobody listens."""
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(current_app.amqp, "_producer_pool", None)


@pytest.fixture
def this_worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """This process as a worker that beats when it is asked for its identity."""
    worker = Worker(queues=["cpu", "io"])
    monkeypatch.setattr(leases, "_current", worker)
    return worker


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """Register functions for one test, and make roles for them."""
    monkeypatch.setattr(functions, "_ENTRIES", dict(functions.registered()))

    def as_role(call: Callable[..., Any]) -> str:
        function(f"test.{call.__name__}")(call)
        return role(f"test.{call.__name__}")

    return as_role


@pytest.fixture
def threads_keep_no_connection(settings: Any) -> None:
    """Have the threads that tools run in give their connections back."""
    settings.DB_POOL_SIZE = 1
