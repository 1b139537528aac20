"""Sending messages: after a commit, and without a connection of its own."""

from __future__ import annotations

import pytest
import redis
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
