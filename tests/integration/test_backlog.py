"""Readiness under a backlog: it is no fault, that nobody takes from it is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from django.test import Client

from executions import backlog
from executions.backlog import Backlog
from executions.models import Worker
from tests.integration.answers import problem_of
from tests.integration.engine import chain, messages, postgres_away, worker

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db

ALL = ["cpu.recovery", "io.recovery", "control", "cpu", "io"]
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be a certain time, whatever the tests take."""
    monkeypatch.setattr("config.probes.time", lambda: NOW)


def put(broker: redis.Redis, queue: str, *, ago: float, **headers: Any) -> None:
    """Put a message into a queue as if it had been sent that many seconds ago."""
    told = {"task": "x", "published_at": NOW - ago, **headers}
    broker.lpush(queue, json.dumps({"body": "", "headers": told}))


def serve(*queues: str, took: dict[str, float] | None = None, **fields: Any) -> None:
    """Make a live worker that took messages that many seconds ago."""
    taken = {queue: NOW - ago for queue, ago in (took or {}).items()}
    worker(queues=list(queues or ALL), taken=taken, **fields)


def state(client: Client) -> str:
    checks: dict[str, str] = client.get("/readyz").json()["checks"]
    return checks["backlog"]


def test_empty_queues_are_no_backlog(client: Client, broker: redis.Redis) -> None:
    serve()
    assert client.get("/readyz").status_code == 200
    assert state(client) == "ok"


def test_a_backlog_that_nobody_takes_from_is_not_ready(
    client: Client, broker: redis.Redis
) -> None:
    serve("cpu", slots=2, busy=2, took={"cpu": 75})
    put(broker, "cpu", ago=120)
    put(broker, "cpu", ago=1)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert problem_of(response)["checks"]["backlog"] == (
        "cpu: 2 messages, the oldest for 120 s, none taken for 75 s; 1 live worker "
        "with 2 slots, none of them free"
    )
    assert "backlog: cpu: 2 messages" in problem_of(response)["detail"]


def test_a_backlog_that_is_taken_from_is_ready_however_old(
    client: Client, broker: redis.Redis
) -> None:
    serve("cpu", took={"cpu": 500})
    serve("cpu", took={"cpu": 30})
    put(broker, "cpu", ago=3600)

    assert state(client) == "ok"


def test_a_young_backlog_is_ready_whoever_is_there(
    client: Client, broker: redis.Redis
) -> None:
    serve("io")
    put(broker, "cpu", ago=50)

    assert state(client) == "ok"


def test_what_the_dead_took_does_not_count(client: Client, broker: redis.Redis) -> None:
    serve("io")
    serve("cpu", took={"cpu": 1}, lease_s=-1)
    put(broker, "cpu", ago=61)

    assert state(client).endswith("none taken for 61 s; no live worker")


def test_each_queue_stands_for_itself(client: Client, broker: redis.Redis) -> None:
    serve(took={"io": 1})
    for queue in ("cpu", "io", "control"):
        put(broker, queue, ago=90)

    told = state(client).split("; ")

    assert [each.partition(":")[0] for each in told[::2]] == ["control", "cpu"]


def test_how_long_is_a_setting(
    client: Client, broker: redis.Redis, settings: Any
) -> None:
    serve()
    put(broker, "cpu", ago=10)
    assert state(client) == "ok"

    settings.CORE_BACKLOG_S = 5
    assert state(client).startswith("cpu: 1 message, the oldest for 10 s")


def test_real_messages_tell_when_they_were_sent(broker: redis.Redis) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("executions.dispatch.transaction.on_commit", lambda send: send())
        chain("a")
    (message,) = messages(broker)

    (found,) = [each for each in backlog.read(broker) if each.length]

    assert (found.queue, found.oldest_at) == ("cpu", message.headers["published_at"])


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"headers": null}',
        b'{"headers": {}}',
        b'{"headers": {"published_at": "yesterday"}}',
        b'{"headers": {"published_at": true}}',
        b'{"headers": {"published_at": null}}',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_breaks_nothing_and_hides_little(
    client: Client, broker: redis.Redis, raw: bytes
) -> None:
    serve()
    broker.lpush("cpu", raw)
    assert state(client) == "ok"

    put(broker, "cpu", ago=90)
    assert state(client).startswith("cpu: 2 messages, the oldest for 90 s")


def test_a_queue_that_is_none_is_unknown(client: Client, broker: redis.Redis) -> None:
    serve()
    broker.set("cpu", "not a list")

    assert client.get("/readyz").status_code == 503
    assert state(client) == "unknown"


def test_without_valkey_it_is_unknown(client: Client, settings: Any) -> None:
    serve()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert state(client) == "unknown"


@pytest.mark.django_db(transaction=True)
def test_without_a_database_everything_that_asks_it_is_unknown(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_away(monkeypatch):
        response = client.get("/readyz")

    assert response.status_code == 503
    assert problem_of(response)["checks"] == {
        "postgresql": "cannot be reached",
        "redis": "ok",
        "workers": "unknown",
        "backlog": "unknown",
        "reconciler": "unknown",
    }


def test_that_no_reconciler_is_at_work_is_told_and_no_more(
    client: Client, broker: redis.Redis
) -> None:
    serve()

    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["checks"]["reconciler"] == "none is at work"


@pytest.mark.parametrize(
    ("oldest", "taken", "idle"),
    [
        (None, None, 0),  # nothing is known of what lies there
        (70, None, 70),  # nobody ever took anything
        (70, 10, 10),
        (10, 70, 10),  # there was nothing to take before
        (-5, None, 0),  # a clock ahead of ours
        (70, -5, 0),
    ],
)
def test_idle_is_a_queue_while_there_is_something_to_take(
    oldest: float | None, taken: float | None, idle: float
) -> None:
    now = 1_000_000.0
    queue = Backlog(
        queue="cpu",
        length=1,
        oldest_at=None if oldest is None else now - oldest,
        taken_at=None if taken is None else now - taken,
    )

    assert queue.idle_s(now) == idle
    assert queue.stands_still(now=now, limit_s=60) is (idle > 60)


def test_workers_of_before_said_nothing_about_what_they_took(
    client: Client, broker: redis.Redis
) -> None:
    serve()
    Worker.objects.update(taken={})
    put(broker, "cpu", ago=90)

    assert state(client).startswith("cpu: 1 message")
