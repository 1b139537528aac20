"""Leases: a worker's steps are its own as long as its heartbeat says so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.db.models.functions import Now

from executions import database, lifecycle, recovery
from executions.lifecycle import Claim
from executions.models import Worker as WorkerRow
from executions.worker import leases
from executions.worker.attempts import StopButton
from executions.worker.leases import Held, Worker
from tests.integration.engine import (
    DONE,
    FAILED,
    chain,
    claimed,
    end_lease,
    group,
    launched,
    postgres_away,
    role,
    run_at,
    try_claim,
    until,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = pytest.mark.django_db(transaction=True)


def held(claim: Claim, **fields: Any) -> Held:
    given: dict[str, Any] = {
        "deadline": monotonic() + 60,
        "stop": StopButton(),
        "on_overdue": lambda claim: None,
        "interrupts_process": False,
        **fields,
    }
    return Held(claim=claim, **given)


def lease_of(worker: Worker) -> datetime:
    return WorkerRow.objects.get(pk=worker.id).lease_until


def forget_beat(worker: Worker, seconds: float = 60.0) -> None:
    """Let the last beat that came through have been that long ago."""
    worker._renewed = monotonic() - seconds


@pytest.fixture
def worker(this_worker: Worker) -> Worker:
    this_worker.identity()
    return this_worker


@pytest.fixture
def living(
    worker: Worker, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Run the heartbeat in a thread, as quick as can be, until the test is over."""
    settings.CORE_HEARTBEAT = timedelta(0)
    monkeypatch.setattr(leases, "_TICK_S", 0.01)

    def live() -> None:
        try:
            worker._every_tick(worker._tick)
        finally:
            connection.close()

    thread = threading.Thread(target=live)

    def beats() -> None:
        if not thread.ident:
            thread.start()
        past = lease_of(worker)
        until(lambda: lease_of(worker) > past, "a heartbeat")

    yield beats
    worker._leaving.set()
    if thread.ident:
        thread.join(30)


# --- the lease -----------------------------------------------------------------------


def test_a_worker_has_a_lease_before_it_claims_anything(this_worker: Worker) -> None:
    assert not WorkerRow.objects.exists()

    identity = this_worker.identity()

    row = WorkerRow.objects.get(pk=identity)
    assert (row.pid, row.queues) == (os.getpid(), ["cpu", "io"])


def test_a_fresh_lease_is_not_renewed_for_every_claim(worker: Worker) -> None:
    before = lease_of(worker)

    assert worker.identity() == worker.id
    assert lease_of(worker) == before


def test_a_beat_renews_the_lease(worker: Worker) -> None:
    before = lease_of(worker)

    worker._beat()

    assert lease_of(worker) > before
    assert WorkerRow.objects.count() == 1


def test_a_beat_says_what_has_been_delivered(worker: Worker) -> None:
    worker.note_delivery("cpu", 200.0)
    worker.note_delivery("cpu", 100.0)
    worker.note_delivery("io", 50.0)

    worker._beat()

    assert WorkerRow.objects.get().delivered == {"cpu": 200.0, "io": 50.0}


def test_a_lease_that_lapsed_is_renewed_before_the_next_claim(worker: Worker) -> None:
    end_lease(worker.id)
    forget_beat(worker)

    identity = worker.identity()

    assert WorkerRow.objects.filter(pk=identity, lease_until__gt=Now()).exists()


def test_a_worker_that_cannot_renew_claims_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_beat(worker)

    with postgres_away(monkeypatch), pytest.raises(OperationalError):
        worker.identity()


def test_a_worker_that_was_buried_lives_again_with_its_next_beat(
    worker: Worker,
) -> None:
    WorkerRow.objects.all().delete()

    worker._beat()

    assert WorkerRow.objects.filter(pk=worker.id).exists()


# --- steps that were taken --------------------------------------------------------------


def test_a_beat_leaves_steps_that_are_still_its_own(worker: Worker) -> None:
    claim = claimed(chain("a"), "a", by=worker.id)
    one = held(claim)

    with worker.holding(one):
        worker._beat()

    assert not one.stop.pressed


@pytest.mark.parametrize("how", ["cancelled", "taken", "taken again", "settled"])
def test_a_beat_stops_steps_that_are_no_longer_its_own(
    worker: Worker, how: str
) -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a", by=worker.id)
    one = held(claim)

    with worker.holding(one):
        if how == "cancelled":
            lifecycle.terminate(execution.pk, by=None, reason=None)
        elif how == "settled":
            lifecycle.settle(claim, FAILED)
        else:
            end_lease(worker.id)
            lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
            if how == "taken again":
                assert try_claim(execution, "a")
        worker._beat()

    assert one.stop.pressed


def test_a_beat_stops_no_other_steps_than_those(worker: Worker) -> None:
    execution = launched(*group("mine", "taken", of=role()))
    mine = held(claimed(execution, "mine", by=worker.id))
    taken = held(claimed(execution, "taken", by=worker.id))

    with worker.holding(mine), worker.holding(taken):
        end_lease(worker.id)
        lifecycle.return_lost(taken.claim.run.id, max_crashes=3, wake=False)
        worker._beat()

    assert (mine.stop.pressed, taken.stop.pressed) == (False, True)


def test_a_step_whose_row_is_gone_is_stopped(worker: Worker) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=worker.id))

    with worker.holding(one):
        execution.delete()
        worker._beat()

    assert one.stop.pressed


def test_a_step_that_has_ended_is_not_stopped_any_more(worker: Worker) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=worker.id))
    with worker.holding(one):
        assert worker.is_running(one.claim.run.id)
    lifecycle.terminate(execution.pk, by=None, reason=None)

    worker._beat()

    assert not worker.is_running(one.claim.run.id)
    assert not one.stop.pressed


def test_a_step_is_let_go_however_its_attempt_ends(worker: Worker) -> None:
    one = held(claimed(chain("a"), "a", by=worker.id))

    with pytest.raises(LookupError), worker.holding(one):
        raise LookupError

    assert not worker.is_running(one.claim.run.id)


# --- a lease that is lost -----------------------------------------------------------------


def test_a_worker_that_cannot_renew_stops_its_steps_and_takes_a_new_name(
    worker: Worker,
) -> None:
    one = held(claimed(chain("a"), "a", by=worker.id))
    before = worker.id
    forget_beat(worker)

    with worker.holding(one):
        worker._give_up_lost_lease()

    assert one.stop.pressed
    assert worker.id != before


def test_a_worker_under_a_new_name_leaves_its_old_steps_to_be_freed(
    worker: Worker,
) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=worker.id))
    end_lease(worker.id)
    forget_beat(worker)
    with worker.holding(one):
        worker._give_up_lost_lease()

    worker.identity()

    assert recovery.free_lost_steps() == 1
    assert run_at(execution, "a").status == "retrying"
    assert try_claim(execution, "a", by=worker.id) is not None


def test_a_worker_that_can_renew_keeps_its_steps_and_its_name(worker: Worker) -> None:
    one = held(claimed(chain("a"), "a", by=worker.id))
    before = worker.id

    with worker.holding(one):
        worker._give_up_lost_lease()

    assert not one.stop.pressed
    assert worker.id == before


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the signals that the process sends to itself instead of dying of them."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    return sent


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_process_whose_main_thread_keeps_working_without_a_lease_is_ended(
    worker: Worker, kills: list[int], interrupts: bool
) -> None:
    claim = claimed(chain("a"), "a", by=worker.id)
    forget_beat(worker)

    with worker.holding(held(claim, interrupts_process=interrupts)):
        worker._give_up_lost_lease()

    assert kills == ([signal.SIGKILL] if interrupts else [])


# --- attempts that ignore their time limit -----------------------------------------------


def test_an_attempt_that_ignores_its_limit_is_reported_from_outside(
    worker: Worker,
) -> None:
    told: list[Claim] = []
    claim = claimed(chain("a"), "a", by=worker.id)
    overdue = held(claim, deadline=monotonic() - 60, on_overdue=told.append)

    with worker.holding(overdue):
        worker._end_overdue()

    assert told == [claim]


def test_an_attempt_gets_a_moment_to_end_by_itself(worker: Worker) -> None:
    told: list[Claim] = []
    claim = claimed(chain("a"), "a", by=worker.id)

    with worker.holding(held(claim, deadline=monotonic(), on_overdue=told.append)):
        worker._end_overdue()

    assert told == []


# --- the heartbeat's thread ---------------------------------------------------------------


def test_the_heartbeat_renews_the_lease(living: Callable[[], None]) -> None:
    living()
    living()


def test_the_heartbeat_tells_a_step_that_it_was_cancelled(
    worker: Worker, living: Callable[[], None]
) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=worker.id))

    with worker.holding(one):
        living()
        assert not one.stop.pressed
        lifecycle.terminate(execution.pk, by=None, reason=None)
        until(lambda: one.stop.pressed, "the stop")


@pytest.mark.parametrize("error", [OperationalError, DatabaseError])
def test_the_heartbeat_goes_on_when_an_overdue_attempt_cannot_be_reported(
    worker: Worker, living: Callable[[], None], error: type[Exception]
) -> None:
    tried = threading.Event()

    def report(claim: Claim) -> None:
        tried.set()
        raise error("PostgreSQL is away")

    claim = claimed(chain("a"), "a", by=worker.id)
    overdue = held(claim, deadline=monotonic() - 60, on_overdue=report)

    with worker.holding(overdue):
        living()
        assert tried.wait(30)
        living()


def test_the_heartbeat_survives_a_broken_connection(
    living: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    living()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    living()


# --- leaving -------------------------------------------------------------------------------


def test_a_worker_that_leaves_gives_its_lease_back(worker: Worker) -> None:
    worker.leave()

    assert not WorkerRow.objects.exists()


def test_a_worker_that_leaves_in_the_middle_of_a_step_keeps_its_lease(
    worker: Worker,
) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=worker.id))

    with worker.holding(one):
        worker.leave()

    assert WorkerRow.objects.filter(pk=worker.id).exists()
    assert lifecycle.settle(one.claim, DONE)


def test_a_lease_that_is_lost_is_given_up_once_however_long_it_takes(
    worker: Worker,
) -> None:
    forget_beat(worker)
    worker._give_up_lost_lease()
    new_identity = worker.id

    worker._give_up_lost_lease()

    assert worker.id == new_identity
    assert worker.identity() == new_identity
    forget_beat(worker)
    worker._give_up_lost_lease()
    assert worker.id != new_identity


def test_a_beat_that_was_under_way_when_the_lease_was_given_up_renews_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_beat(worker)
    beat = database.fetch

    def given_up_meanwhile(sql: Any, params: Any) -> Any:
        rows = beat(sql, params)
        worker._give_up_lost_lease()
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(leases, "fetch", given_up_meanwhile)
        worker._beat()

    assert not WorkerRow.objects.filter(pk=worker.id).exists()
