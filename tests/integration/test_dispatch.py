"""Sending messages: after a commit, and without a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis
from celery import current_app
from django.db import connection, transaction

from executions import dispatch, pinned
from tests.integration.engine import address_of, launched, messages, role, step

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)


def test_sending_outside_of_a_transaction_takes_no_connection(
    broker: redis.Redis,
) -> None:
    # With hundreds of threads on a small pool, each would keep what it took.
    execution = launched(step("a", role()))
    address, pins = address_of(execution), execution.role_pins
    plan = pinned.plan(address.version)
    dispatch.send(plan, 0, address, pins=pins)
    broker.flushdb()
    connection.close()

    dispatch.send(plan, 0, address, pins=pins)

    assert connection.connection is None
    assert [message.place for message in messages(broker)] == ["a"]


def test_what_is_sent_in_a_transaction_leaves_when_it_commits(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role()))
    address, pins = address_of(execution), execution.role_pins
    plan = pinned.plan(address.version)
    broker.flushdb()

    with transaction.atomic():
        dispatch.send(plan, 0, address, pins=pins)
        assert messages(broker) == []

    assert [message.place for message in messages(broker)] == ["a"]


@pytest.mark.parametrize("grouped", [True, False])
def test_sending_takes_one_producer_at_a_time(
    broker: redis.Redis, grouped: bool
) -> None:
    # Threads that hold one and wait for another stop each other for ever.
    of = role()
    fields = {"parallel_group": "g"} if grouped else {}
    execution = launched(*(step(name, of, **fields) for name in "abc"))
    address, pins = address_of(execution), execution.role_pins
    plan = pinned.plan(address.version)
    broker.flushdb()

    with all_producers_but_one():
        dispatch.send(plan, 0, address, pins=pins)

    assert messages(broker)


@contextmanager
def all_producers_but_one() -> Iterator[None]:
    """Take what the pool has, so that whoever needs two at a time gets an error."""
    pool: Any = current_app.producer_pool
    with ExitStack() as taken:
        for _ in range(pool.limit - 1):
            taken.enter_context(pool.acquire(block=False))
        with impatient(pool):
            yield


@contextmanager
def impatient(pool: Any) -> Iterator[None]:
    acquire = pool.acquire
    pool.acquire = lambda block=False, timeout=None: acquire(block=False)
    try:
        yield
    finally:
        del pool.acquire
