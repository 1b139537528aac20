"""Endings between steps: each execution ends once, and takes its steps with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from executions import lifecycle
from executions.models import Event, Execution
from tests.integration.engine import (
    DONE,
    FAILED,
    at_once,
    chain,
    claimed,
    finish,
    group,
    launched,
    new_run,
    now_of,
    role,
    run_at,
    told,
    waiting_for_locks,
)

pytestmark = pytest.mark.django_db

ERROR = {"step_key": None, "type": "template_error", "message": "No.", "attempt": None}
ENDS = (
    "execution.completed",
    "execution.failed",
    "execution.cancelled",
    "execution.timed_out",
)


def cancel(execution: Execution) -> bool:
    return lifecycle.terminate(execution.pk, by="ada", reason="Enough.")


def ends_of(execution: Execution) -> list[str]:
    return [event for event in told(execution) if event.startswith(ENDS)]


# --- cancelling -----------------------------------------------------------------------


def test_cancelling_says_who_and_why() -> None:
    execution = chain("a", timeout_ms=60_000)

    assert cancel(execution)

    now = now_of(execution)
    assert (now.status, now.wake_at) == ("cancelled", None)
    assert now.finished_at is not None
    assert now.error == {
        "step_key": None,
        "type": "terminated",
        "message": "Enough.",
        "attempt": None,
    }
    event = Event.objects.filter(execution=execution).latest("id")
    assert (event.type, event.data) == (
        "execution.cancelled",
        {"by": "ada", "reason": "Enough.", "terminated": True},
    )


def test_cancelling_twice_cancels_once() -> None:
    execution = chain("a")
    cancel(execution)
    before = now_of(execution).finished_at

    assert not cancel(execution)
    assert now_of(execution).finished_at == before
    assert ends_of(execution) == ["execution.cancelled"]


def test_cancelling_ends_every_step_that_is_open() -> None:
    execution = launched(*group("done", "running", "retrying", "new", of=role()))
    finish(execution, "done")
    claimed(execution, "running")
    lifecycle.schedule_retry(
        claimed(execution, "retrying"), FAILED, delay_s=3600, timer=True
    )

    cancel(execution)

    assert dict(execution.step_runs.values_list("path", "status")) == {
        "done": "completed",
        "running": "cancelled",
        "retrying": "cancelled",
    }
    assert run_at(execution, "retrying").retry_at is None
    assert told(execution)[-1] == "execution.cancelled"


def test_what_a_cancelled_step_reports_changes_nothing() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    cancel(execution)
    before = told(execution)

    assert not lifecycle.settle(claim, DONE)
    assert not lifecycle.settle_and_complete(claim, DONE, None)
    assert not lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=True)

    assert told(execution) == before
    assert now_of(execution).wake_at is None
    assert run_at(execution, "a").output is None


def test_an_execution_that_completed_is_not_cancelled() -> None:
    execution = chain("a")
    lifecycle.settle_and_complete(claimed(execution, "a"), DONE, "result")

    assert not cancel(execution)
    assert (now_of(execution).status, now_of(execution).error) == ("completed", None)


@pytest.mark.parametrize("status", ["pending", "running", "waiting", "paused"])
def test_an_execution_is_cancelled_in_every_state_that_is_not_its_end(
    status: str,
) -> None:
    execution = chain("a")
    Execution.objects.filter(pk=execution.pk).update(status=status)

    assert cancel(execution)


def test_an_unknown_execution_is_not_cancelled() -> None:
    assert not lifecycle.terminate(uuid4(), by=None, reason=None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_a_cancellation_and_a_success_at_once_leave_one_outcome(turn: int) -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    settled, cancelled = at_once(
        partial(lifecycle.settle, claim, DONE), partial(cancel, execution)
    )

    status = run_at(execution, "a").status
    assert cancelled is True
    assert status == ("completed" if settled else "cancelled")
    terminal = [e for e in told(execution) if e.endswith(" a")][1:]
    assert terminal == [f"step.{status} a"]
    assert ends_of(execution) == ["execution.cancelled"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_a_cancellation_and_the_last_success_at_once_leave_one_end(turn: int) -> None:
    execution = chain("a")
    claim = claimed(execution, "a")

    completed, cancelled = at_once(
        partial(lifecycle.settle_and_complete, claim, DONE, "result"),
        partial(cancel, execution),
    )

    assert sorted(map(str, (completed, cancelled))) == ["False", "True"]
    ended = "completed" if completed else "cancelled"
    assert now_of(execution).status == run_at(execution, "a").status == ended
    assert ends_of(execution) == [f"execution.{ended}"]
    assert (now_of(execution).output == "result") is completed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_nothing_starts_after_a_cancellation_that_meets_a_claim(turn: int) -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    settled, cancelled = at_once(
        partial(lifecycle.settle_and_claim, claim, DONE, new_run(execution, "b")),
        partial(cancel, execution),
    )

    assert cancelled is True
    assert not isinstance(settled, Exception)
    assert not execution.step_runs.filter(status="running").exists()
    events = told(execution)
    assert events[-1] == "execution.cancelled"
    if "step.started b" in events:
        assert "step.cancelled b" in events


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["cancelled", "timed_out", "failed"])
@pytest.mark.parametrize("begin", ["claimed", "claimed warm"])
def test_a_step_that_begins_while_an_ending_waits_is_ended_too(
    end: str, begin: str
) -> None:
    """
    Let a claim commit while the ending waits for the execution's row.

    The ending's statement began before, so it does not see the new step run by
    itself.
    """
    execution = launched(*group("a", "b", "c", of=role()), timeout_ms=60_000)
    claim, failing = claimed(execution, "a"), claimed(execution, "c")
    if end == "timed_out":
        overdue(execution)
    endings = {
        "cancelled": partial(cancel, execution),
        "timed_out": partial(lifecycle.time_out, execution.pk),
        "failed": partial(lifecycle.settle_and_fail, failing, FAILED),
    }

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            run = new_run(execution, "b")
            if begin == "claimed":
                assert lifecycle.claim(run, execution_started=True)
            else:
                assert lifecycle.settle_and_claim(claim, DONE, run).next
            ending = pool.submit(at_once, endings[end])
            waiting_for_locks(1)
        came = ending.result()

    assert came == [True]
    assert run_at(execution, "b").status == "cancelled"
    events = told(execution)
    assert events[-1] == f"execution.{end}"
    assert events.count("step.cancelled b") == 1


# --- deadlines --------------------------------------------------------------------------


def overdue(execution: Execution, seconds: float = 1) -> None:
    Execution.objects.filter(pk=execution.pk).update(
        deadline_at=Now() - timedelta(seconds=seconds)
    )


def test_an_execution_times_out_at_its_deadline_and_takes_its_steps_with_it() -> None:
    execution = chain("a", timeout_ms=60_000)
    claim = claimed(execution, "a")
    overdue(execution)

    assert lifecycle.time_out(execution.pk)

    now = now_of(execution)
    assert (now.status, now.wake_at) == ("timed_out", None)
    assert now.error is not None
    assert (now.error["type"], now.error["step_key"]) == ("timed_out", None)
    assert run_at(execution, "a").status == "cancelled"
    assert not lifecycle.settle(claim, DONE)


def test_an_execution_does_not_time_out_before_its_deadline() -> None:
    execution = chain("a", timeout_ms=60_000)

    assert not lifecycle.time_out(execution.pk)
    assert now_of(execution).status == "pending"


def test_an_execution_without_a_deadline_never_times_out() -> None:
    execution = chain("a")

    assert not lifecycle.time_out(execution.pk)


def test_an_execution_times_out_once() -> None:
    execution = chain("a", timeout_ms=60_000)
    overdue(execution)
    lifecycle.time_out(execution.pk)

    assert not lifecycle.time_out(execution.pk)
    assert not cancel(execution)
    assert told(execution).count("execution.timed_out") == 1


# --- completing and failing ---------------------------------------------------------------


def test_an_execution_is_completed_with_its_output() -> None:
    execution = chain("a", "b")
    finish(execution, "a", "b")

    assert lifecycle.complete(execution.pk, epoch=1, output=[1, None, "x"])
    assert (now_of(execution).status, now_of(execution).output) == (
        "completed",
        [1, None, "x"],
    )


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_message_of_another_epoch_ends_nothing(epoch: int) -> None:
    execution = chain("a")
    finish(execution, "a")

    assert not lifecycle.complete(execution.pk, epoch=epoch, output=None)
    assert not lifecycle.fail(execution.pk, epoch=epoch, error=ERROR)
    assert now_of(execution).status == "running"


def test_an_execution_that_has_not_begun_is_neither_completed_nor_failed() -> None:
    execution = chain("a")

    assert not lifecycle.complete(execution.pk, epoch=1, output=None)
    assert not lifecycle.fail(execution.pk, epoch=1, error=ERROR)


def test_a_failure_of_no_step_is_recorded_with_its_reason() -> None:
    execution = chain("a")
    finish(execution, "a")

    assert lifecycle.fail(execution.pk, epoch=1, error=ERROR)
    assert now_of(execution).error == ERROR
    assert run_at(execution, "a").status == "completed"


@pytest.mark.django_db(transaction=True)
def test_of_many_ends_at_once_one_is_recorded() -> None:
    execution = chain("a", timeout_ms=60_000)
    finish(execution, "a")
    overdue(execution)

    came = at_once(
        partial(lifecycle.complete, execution.pk, epoch=1, output=None),
        partial(lifecycle.fail, execution.pk, epoch=1, error=ERROR),
        partial(lifecycle.time_out, execution.pk),
        partial(cancel, execution),
        partial(cancel, execution),
    )

    assert sorted(map(str, came)) == ["False"] * 4 + ["True"]
    status = now_of(execution).status
    assert told(execution)[-1] == f"execution.{status}"
    assert len(told(execution)) == 5


# --- the database's own guards ---------------------------------------------------------------


def test_no_execution_has_a_status_that_nobody_knows() -> None:
    execution = chain("a")

    with pytest.raises(IntegrityError, match="violates check constraint"):
        Execution.objects.filter(pk=execution.pk).update(status="dreaming")


def test_no_execution_ends_without_a_time() -> None:
    execution = chain("a")

    with pytest.raises(IntegrityError, match="execution_finished_iff_terminal"):
        Execution.objects.filter(pk=execution.pk).update(status="completed")


def test_no_execution_that_is_under_way_has_an_end() -> None:
    execution = chain("a")

    with pytest.raises(IntegrityError, match="execution_finished_iff_terminal"):
        Execution.objects.filter(pk=execution.pk).update(finished_at=Now())
