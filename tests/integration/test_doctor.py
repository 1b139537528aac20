"""`manage.py doctor` says what is well, what is not, and what to do about it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now

from executions import diagnosis, lifecycle
from executions.database import fetch
from executions.election import LOCK
from executions.models import Execution, StepRun
from tests.integration.engine import (
    FAILED,
    chain,
    claimed,
    finish,
    postgres_away,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db

ALL = ["cpu.recovery", "io.recovery", "control", "cpu", "io"]


@pytest.fixture(autouse=True)
def queues(broker: redis.Redis) -> None:
    """Let all queues be empty."""


@pytest.fixture
def all_is_well() -> Iterator[None]:
    worker(queues=ALL, slots=4, busy=1)
    fetch("SELECT pg_advisory_lock(%(lock)s)", {"lock": LOCK})
    yield
    fetch("SELECT pg_advisory_unlock(%(lock)s)", {"lock": LOCK})


def doctor(*options: str) -> tuple[int, str]:
    """Return its exit code and what it printed."""
    printed = io.StringIO()
    try:
        call_command("doctor", *options, stdout=printed)
    except SystemExit as end:
        return int(str(end.code)), printed.getvalue()
    return 0, printed.getvalue()


def complaints() -> list[str]:
    """List what it complains of, the cures left out; they come with exit code 1."""
    code, printed = doctor()
    found = [line[4:] for line in printed.splitlines() if line.startswith("!!")]
    assert code == (1 if found else 0)
    return found


def old(execution: Execution) -> Execution:
    long_ago = Now() - timedelta(minutes=5)
    Execution.objects.filter(pk=execution.pk).update(
        created_at=long_ago, dispatched_at=long_ago
    )
    StepRun.objects.filter(execution=execution).update(finished_at=long_ago)
    return execution


def test_all_is_well(all_is_well: None) -> None:
    code, printed = doctor()

    assert code == 0
    lines = printed.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    assert [line[4:].split()[0] for line in lines] == [
        "database",
        "broker",
        "settings",
        *["workers"] * 5,
        "reconciler",
        *["backlog"] * 5,
        "executions",
    ]
    for part in (
        "PostgreSQL 1",
        "; migrated",
        "Valkey ",
        "maxmemory-policy noeviction; append-only file on",
        "cpu: 1 live worker with 4 slots, 1 of them busy",
        "reconciler  at work",
        "io.recovery: empty",
        "all that are under way move",
    ):
        assert part in printed


def test_it_names_what_is_missing_and_the_cure() -> None:
    code, printed = doctor()

    assert code == 1
    assert "!!  workers     io: no live worker\n" in printed
    assert "Start the Procfile's worker-io, or another worker with -Q io.\n" in printed
    assert "!!  reconciler  none is at work\n" in printed
    assert "Start `manage.py reconcile`" in printed


def test_a_database_that_is_away_is_told_once(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_away(monkeypatch):
        found = complaints()

    assert found[0].startswith("database    cannot be reached: ")
    assert found[1:] == [
        "workers     unknown without the database",
        "backlog     unknown without the database",
        "executions  unknown without the database",
    ]


def test_a_broker_that_is_away_is_told_and_the_rest_as_well(
    all_is_well: None, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    found = complaints()

    assert found[0].startswith("broker      cannot be reached: ")
    assert found[1:] == ["backlog     unknown without the broker"]


def test_with_neither_it_says_so(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with postgres_away(monkeypatch):
        found = complaints()

    assert "backlog     unknown without the database and broker" in found


def test_a_migration_that_is_missing_is_named(all_is_well: None) -> None:
    latest = MigrationRecorder.Migration.objects.filter(app="executions").latest("name")
    MigrationRecorder.Migration.objects.filter(pk=latest.pk).delete()

    (found,) = complaints()

    assert found.endswith(f"; not migrated: executions.{latest.name}")


def test_a_table_that_is_missing_is_told_and_the_rest_as_well(
    transactional_db: None, all_is_well: None
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE executions_worker RENAME TO elsewhere")
        try:
            found = complaints()
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO executions_worker")

    assert [each.split()[0] for each in found] == ["workers", "backlog", "executions"]
    assert all('"executions_worker" does not exist' in each for each in found)


def test_a_broker_that_may_forget_messages_is_complained_of(
    all_is_well: None, broker: redis.Redis
) -> None:
    broker.config_set("maxmemory-policy", "allkeys-lru")
    broker.config_set("appendonly", "no")
    try:
        (found,) = complaints()
    finally:
        broker.config_set("maxmemory-policy", "noeviction")
        broker.config_set("appendonly", "yes")

    assert "maxmemory-policy allkeys-lru" in found
    assert "append-only file off" in found


def test_settings_that_do_not_fit_are_complained_of(
    all_is_well: None, settings: Any
) -> None:
    settings.CORE_HEARTBEAT = settings.CORE_LEASE
    settings.CSRF_FAILURE_VIEW = "nowhere.to_be_found"

    found = complaints()

    assert [each[:12] for each in found] == ["settings    "] * 2
    assert "security.E102" in found[0]
    assert "late heartbeat" in found[1]


def test_a_backlog_that_nobody_takes_from_is_complained_of(
    all_is_well: None, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "time", lambda: 1_800_000_000.0)
    for queue, sent_at in (("cpu", 1_800_000_000.0 - 90), ("io", 1_800_000_000.0)):
        message = {"headers": {"published_at": sent_at}}
        broker.lpush(queue, json.dumps(message))

    (found,) = complaints()

    assert found.startswith("backlog     cpu: 1 message, the oldest for 90 s")
    assert "ok  backlog     io: 1 message" in doctor()[1]


# --- what does not move ---------------------------------------------------------------


def test_executions_that_need_somebody_are_complained_of(all_is_well: None) -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker(queues=["cpu"]))
    StepRun.objects.update(status="needs_attention", error={"message": "Lost."})

    (found,) = complaints()

    name = execution.orchestration.name
    assert found == (
        f"execution   {execution.pk} ({name}) running: Somebody has to decide about "
        "step 'a' (Lost.)."
    )
    assert "Settle it: complete it, fail it, or have it run again." in doctor()[1]


def test_what_waits_for_good_reason_is_told_without_complaint(
    all_is_well: None,
) -> None:
    paused, retrying, queued = chain("a"), chain("a"), old(chain("a"))
    Execution.objects.filter(pk=paused.pk).update(status="paused", paused_at=Now())
    claim = claimed(retrying, "a")
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=100, timer=True)

    code, printed = doctor()

    assert code == 0
    told = [line for line in printed.splitlines() if "ok  execution " in line]
    assert [line.split()[2] for line in told] == [
        str(each.pk) for each in (paused, retrying, queued)
    ]
    assert "all that are under way move" not in printed


def test_what_moves_is_not_listed(all_is_well: None) -> None:
    at_work, fresh, done = chain("a"), chain("a", "b"), chain("a")
    claimed(at_work, "a", by=worker(queues=["cpu"]))
    old(at_work)
    finish(fresh, "a")
    assert lifecycle.terminate(done.pk, by=None, reason=None)

    assert "all that are under way move" in doctor()[1]


def test_the_step_of_a_lost_worker_does_not_move(all_is_well: None) -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker(queues=["cpu"], lease_s=-1))

    (found,) = complaints()

    assert "that ran step 'a' is lost" in found


def test_the_oldest_are_listed_and_no_more_than_can_be_read(all_is_well: None) -> None:
    executions = [old(chain("a")) for _ in range(diagnosis.MOST_STUCK + 2)]

    _, printed = doctor("--json")

    told = [
        finding["facts"]["execution_id"]
        for finding in json.loads(printed)["findings"]
        if finding["name"] == "execution"
    ]
    assert told == [str(each.pk) for each in executions[: diagnosis.MOST_STUCK]]


# --- for machines ---------------------------------------------------------------------


def test_machines_read_the_same(all_is_well: None, broker: redis.Redis) -> None:
    execution = old(chain("a"))
    Execution.objects.update(status="paused", paused_at=Now())

    code, printed = doctor("--json")

    report = json.loads(printed)
    assert (code, report["ok"]) == (0, True)
    by_name: dict[str, list[Any]] = {}
    for finding in report["findings"]:
        assert finding.keys() == {"name", "what", "ok", "cure", "facts"}
        by_name.setdefault(finding["name"], []).append(finding["facts"])
    assert by_name["database"][0]["unapplied"] == []
    assert by_name["broker"][0]["maxmemory_policy"] == "noeviction"
    assert by_name["workers"][3] == {
        "queue": "cpu",
        "workers": 1,
        "slots": 4,
        "busy": 1,
    }
    assert by_name["backlog"][0]["length"] == 0
    (stuck,) = by_name["execution"]
    assert stuck["execution_id"] == str(execution.pk)
    assert stuck["waiting_on"]["kind"] == "paused"


def test_machines_are_told_that_something_is_wrong() -> None:
    code, printed = doctor("--json")

    assert code == 1
    assert json.loads(printed)["ok"] is False
