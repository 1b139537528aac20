"""Outcomes: recorded exactly once, by the attempt that the step belongs to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import transaction

from executions import lifecycle
from executions.lifecycle import Outcome
from executions.models import Event, Execution, StepRun
from executions.states import StepStatus
from tests.integration.engine import (
    DONE,
    FAILED,
    at_once,
    chain,
    claimed,
    end_lease,
    finish,
    group,
    launched,
    new_run,
    now_of,
    role,
    run_at,
    step,
    told,
    waiting_for_locks,
    worker,
)

pytestmark = pytest.mark.django_db


def group_of(*keys: str) -> Execution:
    return launched(*group(*keys, of=role()))


# --- once ---------------------------------------------------------------------------


def test_an_outcome_is_recorded_with_its_event() -> None:
    execution = chain("a", "b")
    outcome = Outcome(
        status=StepStatus.COMPLETED,
        output={"n": 1},
        exports={"total": 2},
        usage={"tokens": 3},
    )

    assert lifecycle.settle(claimed(execution, "a"), outcome)

    run = run_at(execution, "a")
    assert (run.status, run.output, run.exports) == (
        "completed",
        {"n": 1},
        {"total": 2},
    )
    assert (run.usage, run.error, run.attempt_deadline) == ({"tokens": 3}, None, None)
    assert run.finished_at is not None
    assert told(execution)[-1] == "step.completed a"


def test_an_output_of_null_is_recorded_as_none() -> None:
    execution = chain("a")

    lifecycle.settle(claimed(execution, "a"), Outcome(status=StepStatus.COMPLETED))

    assert run_at(execution, "a").output is None


def test_an_outcome_is_recorded_once() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    lifecycle.settle(claim, DONE)
    before = run_at(execution, "a").finished_at

    assert not lifecycle.settle(claim, FAILED)

    run = run_at(execution, "a")
    assert (run.status, run.finished_at) == ("completed", before)
    assert told(execution)[-1] == "step.completed a"


def test_nothing_but_the_first_outcome_counts_whichever_way_it_comes() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    lifecycle.settle(claim, DONE)
    before = told(execution)

    assert not lifecycle.settle(claim, DONE, wake=True)
    assert not lifecycle.settle_and_complete(claim, DONE, None)
    assert not lifecycle.settle_and_fail(claim, FAILED)
    assert not lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=True)
    following = new_run(execution, "b")
    settled = lifecycle.settle_and_claim(claim, DONE, following)

    assert (settled.recorded, settled.next) == (False, None)
    assert (told(execution), now_of(execution).wake_at) == (before, None)
    assert now_of(execution).status == "running"


def test_what_an_older_attempt_reports_affects_no_row() -> None:
    execution, lost = chain("a", "b"), worker()
    older = claimed(execution, "a", by=lost)
    end_lease(lost)
    lifecycle.return_lost(older.run.id, max_crashes=3, wake=False)
    newer = claimed(execution, "a")
    before = told(execution)

    assert not lifecycle.settle(older, DONE)
    assert not lifecycle.settle_and_fail(older, FAILED)
    assert not lifecycle.settle_and_complete(older, DONE, "late")
    assert not lifecycle.schedule_retry(older, FAILED, delay_s=0, timer=True)
    assert not lifecycle.settle_and_claim(older, DONE, new_run(execution, "b")).recorded
    assert told(execution) == before
    assert not lifecycle.is_recorded(older)

    assert lifecycle.settle(newer, DONE)


def test_what_an_attempt_reports_after_it_was_lost_affects_no_row() -> None:
    # Nobody has claimed the step again yet: the fence alone tells.
    execution, lost = chain("a"), worker()
    claim = claimed(execution, "a", by=lost)
    end_lease(lost)
    lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)

    assert not lifecycle.settle(claim, DONE)
    assert run_at(execution, "a").status == "retrying"


def test_an_attempt_whose_lease_lapsed_unnoticed_still_reports() -> None:
    execution, lapsed = chain("a"), worker()
    claim = claimed(execution, "a", by=lapsed)
    end_lease(lapsed)

    assert lifecycle.settle(claim, DONE)


@pytest.mark.django_db(transaction=True)
def test_of_two_outcomes_at_once_one_is_recorded() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    came = at_once(
        partial(lifecycle.settle, claim, DONE),
        partial(lifecycle.settle_and_fail, claim, FAILED),
        partial(lifecycle.schedule_retry, claim, FAILED, delay_s=0, timer=True),
    )

    assert sorted(map(str, came)) == ["False", "False", "True"]
    assert len(told(execution)) <= 5


# --- and the next step begins ---------------------------------------------------------


def test_an_end_and_the_next_claim_are_one_statement() -> None:
    execution, by = chain("a", "b"), worker()
    claim = claimed(execution, "a", by=by)

    settled = lifecycle.settle_and_claim(
        claim, DONE, new_run(execution, "b", by=by, input={"x": 1})
    )

    assert settled.recorded
    assert settled.next is not None
    assert (settled.next.attempt, settled.next.fence) == (1, 1)
    assert (run_at(execution, "a").status, run_at(execution, "b").status) == (
        "completed",
        "running",
    )
    assert run_at(execution, "b").input == {"x": 1}
    assert told(execution)[-2:] == ["step.completed a", "step.started b"]
    assert lifecycle.settle(settled.next, DONE)


def test_under_an_older_epoch_the_end_is_recorded_and_nothing_begins() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    following = new_run(execution, "b")
    assert lifecycle.next_epoch(execution.pk, epoch=1, block=0) == 2

    settled = lifecycle.settle_and_claim(claim, DONE, following)

    assert (settled.recorded, settled.next) == (True, None)
    assert told(execution)[-1] == "step.completed a"
    assert not execution.step_runs.filter(path="b").exists()


def test_in_an_execution_that_has_ended_nothing_begins() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    lifecycle.terminate(execution.pk, by=None, reason=None)

    settled = lifecycle.settle_and_claim(claim, DONE, new_run(execution, "b"))

    assert not settled.recorded
    assert not execution.step_runs.filter(path="b").exists()


def test_a_next_step_that_somebody_has_is_left_alone() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    other = claimed(execution, "b")

    settled = lifecycle.settle_and_claim(claim, DONE, new_run(execution, "b"))

    assert (settled.recorded, settled.next) == (True, None)
    assert run_at(execution, "b").worker == other.run.worker
    assert told(execution).count("step.started b") == 1


def test_the_next_step_gets_no_more_time_than_its_execution_has() -> None:
    execution = chain("a", "b", timeout_ms=1000)
    claim = claimed(execution, "a")

    settled = lifecycle.settle_and_claim(
        claim, DONE, new_run(execution, "b", timeout_ms=60_000)
    )

    assert settled.next is not None
    assert settled.next.left_s <= 1.0


# --- and the execution ends -----------------------------------------------------------


def test_the_last_outcome_completes_the_execution() -> None:
    execution = chain("a", timeout_ms=60_000)
    claim = claimed(execution, "a")

    assert lifecycle.settle_and_complete(claim, DONE, {"answer": 42})

    now = now_of(execution)
    assert (now.status, now.output, now.error) == ("completed", {"answer": 42}, None)
    assert (now.finished_at is not None, now.wake_at) == (True, None)
    assert told(execution)[-2:] == ["step.completed a", "execution.completed"]


def test_the_last_outcome_of_an_older_epoch_completes_nonetheless() -> None:
    # The record is what counts; the canvas that was sent again finds it done.
    execution = chain("a")
    claim = claimed(execution, "a")
    lifecycle.next_epoch(execution.pk, epoch=1, block=0)

    assert lifecycle.settle_and_complete(claim, DONE, None)
    assert now_of(execution).status == "completed"


def test_a_fatal_failure_ends_the_execution_and_names_the_step() -> None:
    execution = chain("a", "b", timeout_ms=60_000)

    assert lifecycle.settle_and_fail(claimed(execution, "a"), FAILED)

    now = now_of(execution)
    assert now.status == "failed"
    assert now.error == {"step_key": "a", **(FAILED.error or {})}
    assert (now.finished_at is not None, now.wake_at) == (True, None)
    assert told(execution)[-2:] == ["step.failed a", "execution.failed"]


def test_a_fatal_failure_cuts_what_else_is_under_way() -> None:
    execution = group_of("bad", "running", "retrying", "done", "new")
    finish(execution, "done")
    running = claimed(execution, "running")
    retrying = claimed(execution, "retrying")
    lifecycle.schedule_retry(retrying, FAILED, delay_s=60, timer=True)

    lifecycle.settle_and_fail(claimed(execution, "bad"), FAILED)

    statuses = dict(execution.step_runs.values_list("path", "status"))
    assert statuses == {
        "bad": "failed",
        "running": "cancelled",
        "retrying": "cancelled",
        "done": "completed",
    }
    assert not lifecycle.settle(running, DONE)
    events = told(execution)
    assert events[-1] == "execution.failed"
    assert {"step.cancelled running", "step.cancelled retrying"} <= set(events)
    assert "step.cancelled done" not in events


def test_a_failure_cuts_no_other_execution() -> None:
    failing, other = chain("a"), chain("a")
    claim = claimed(other, "a")

    lifecycle.settle_and_fail(claimed(failing, "a"), FAILED)

    assert lifecycle.settle(claim, DONE)


def test_of_two_fatal_failures_the_first_names_the_reason() -> None:
    execution = group_of("a", "b")
    one, other = claimed(execution, "a"), claimed(execution, "b")
    lifecycle.settle_and_fail(one, FAILED)

    assert not lifecycle.settle_and_fail(other, FAILED)
    error = now_of(execution).error
    assert error is not None
    assert error["step_key"] == "a"
    assert told(execution).count("execution.failed") == 1


@pytest.mark.django_db(transaction=True)
def test_fatal_failures_of_a_whole_group_at_once_end_in_one() -> None:
    keys = [f"m{n}" for n in range(6)]
    execution = group_of(*keys)
    claims = [claimed(execution, key) for key in keys]

    came = at_once(*(partial(lifecycle.settle_and_fail, c, FAILED) for c in claims))

    assert sorted(map(str, came)) == ["False"] * 5 + ["True"]
    assert told(execution).count("execution.failed") == 1
    statuses = sorted(execution.step_runs.values_list("status", flat=True))
    assert statuses == ["cancelled"] * 5 + ["failed"]


# --- retries --------------------------------------------------------------------------


def test_a_retry_gives_the_step_back_until_it_is_due() -> None:
    execution = chain("a", "b")

    assert lifecycle.schedule_retry(
        claimed(execution, "a"), FAILED, delay_s=30, timer=False
    )

    run = run_at(execution, "a")
    assert (run.status, run.error, run.attempt_deadline) == (
        "retrying",
        FAILED.error,
        None,
    )
    assert run.finished_at is None
    assert now_of(execution).wake_at is None


def test_a_retrys_event_says_why_and_when() -> None:
    execution = chain("a")

    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=30, timer=False)

    event = Event.objects.filter(execution=execution).latest("id")
    assert event.type == "step.retrying"
    assert event.data is not None
    assert event.data["message"] == "No."
    assert event.data["retry_at"] is not None


def test_a_timer_has_the_reconciler_wake_the_execution() -> None:
    execution = chain("a")

    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=3600, timer=True)

    assert now_of(execution).wake_at == run_at(execution, "a").retry_at


@pytest.mark.parametrize(("first", "second"), [(100, 3600), (3600, 100)])
def test_of_two_timers_the_earlier_one_counts(first: float, second: float) -> None:
    execution = group_of("a", "b")
    for path, delay_s in (("a", first), ("b", second)):
        lifecycle.schedule_retry(
            claimed(execution, path), FAILED, delay_s=delay_s, timer=True
        )

    due = [run_at(execution, path).retry_at for path in ("a", "b")]
    assert now_of(execution).wake_at == min(at for at in due if at)


def test_a_timer_does_not_put_off_the_deadline() -> None:
    execution = chain("a", timeout_ms=60_000)
    before = now_of(execution).wake_at

    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=3600, timer=True)

    assert now_of(execution).wake_at == before


def test_a_timer_before_the_deadline_counts() -> None:
    execution = chain("a", timeout_ms=60_000)

    lifecycle.schedule_retry(claimed(execution, "a"), FAILED, delay_s=1, timer=True)

    assert now_of(execution).wake_at == run_at(execution, "a").retry_at


def test_a_step_settled_from_outside_wakes_the_execution() -> None:
    execution = chain("a", "b")

    lifecycle.settle(claimed(execution, "a"), FAILED, wake=True)

    assert now_of(execution).wake_at is not None


# --- lost with their worker -------------------------------------------------------------


def test_a_step_is_returned_when_its_workers_lease_has_ended() -> None:
    execution, lost = chain("a"), worker()
    claim = claimed(execution, "a", by=lost)
    end_lease(lost)

    assert lifecycle.return_lost(claim.run.id, max_crashes=3, wake=True)

    run = run_at(execution, "a")
    assert (run.status, run.crashes, run.attempt) == ("retrying", 1, 1)
    assert run.error is not None
    assert run.error["type"] == "worker_lost"
    assert now_of(execution).wake_at is not None
    assert told(execution)[-1] == "step.retrying a"


def test_a_step_whose_worker_lives_is_not_returned() -> None:
    execution = chain("a")
    claim = claimed(execution, "a", by=worker())

    assert not lifecycle.return_lost(claim.run.id, max_crashes=3, wake=True)
    assert run_at(execution, "a").status == "running"


def test_a_step_whose_worker_nobody_knows_is_returned() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")

    assert lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
    assert now_of(execution).wake_at is None


def test_a_step_is_returned_once() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)

    assert not lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)
    assert run_at(execution, "a").crashes == 1


@pytest.mark.parametrize("ending", ["settled", "cancelled"])
def test_a_step_that_has_ended_is_not_returned(ending: str) -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    if ending == "settled":
        lifecycle.settle(claim, DONE)
    else:
        lifecycle.terminate(execution.pk, by=None, reason=None)

    assert not lifecycle.return_lost(claim.run.id, max_crashes=3, wake=True)
    assert not lifecycle.give_up_crashed(claim.run, fatal=True)


def test_a_step_is_returned_no_more_than_max_crashes_times() -> None:
    execution = chain("a")
    for _ in range(3):
        claim = claimed(execution, "a")
        assert lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)

    claim = claimed(execution, "a")

    assert (claim.attempt, claim.crashes) == (4, 3)
    assert not lifecycle.return_lost(claim.run.id, max_crashes=3, wake=True)


def test_a_step_that_crashed_too_often_fails_the_execution() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    assert lifecycle.give_up_crashed(claim.run, fatal=True)

    now, run = now_of(execution), run_at(execution, "a")
    assert (now.status, run.status) == ("failed", "failed")
    assert now.error is not None
    assert (now.error["type"], now.error["step_key"]) == ("crashed", "a")
    assert not lifecycle.settle(claim, DONE)


def test_with_on_error_continue_a_crashed_step_wakes_the_execution() -> None:
    execution = chain("a", "b")

    assert lifecycle.give_up_crashed(claimed(execution, "a").run, fatal=False)

    now = now_of(execution)
    assert (now.status, run_at(execution, "a").status) == ("running", "failed")
    assert now.wake_at is not None


def test_a_step_whose_worker_lives_is_not_given_up() -> None:
    execution = chain("a")
    claim = claimed(execution, "a", by=worker())

    assert not lifecycle.give_up_crashed(claim.run, fatal=True)
    assert lifecycle.settle(claim, DONE)


@pytest.mark.django_db(transaction=True)
def test_of_two_reconcilers_one_returns_a_lost_step() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    free = partial(lifecycle.return_lost, claim.run.id, max_crashes=3, wake=True)

    came = at_once(free, free, free)

    assert sorted(map(str, came)) == ["False", "False", "True"]
    assert run_at(execution, "a").crashes == 1


# --- recognising one's own ---------------------------------------------------------------


def test_a_recorded_outcome_is_recognised_by_its_fence() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    assert not lifecycle.is_recorded(claim)

    lifecycle.settle(claim, DONE)

    assert lifecycle.is_recorded(claim)


def test_a_cancelled_step_is_not_taken_for_recorded() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    lifecycle.terminate(execution.pk, by=None, reason=None)

    assert not lifecycle.is_recorded(claim)


# --- locks --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["retry", "settle", "lost"])
def test_changes_from_outside_and_a_cancellation_never_wait_in_a_circle(
    change: str,
) -> None:
    """
    Let the change be first at the step's row, and the cancellation at the execution's.

    Whoever holds the step's row and wants the execution's meets a cancellation that
    holds the execution's and wants the step's.
    """
    execution = launched(step("a", role()))
    claim = claimed(execution, "a")
    changes = {
        "retry": partial(
            lifecycle.schedule_retry, claim, FAILED, delay_s=3600, timer=True
        ),
        "settle": partial(lifecycle.settle, claim, FAILED, wake=True),
        "lost": partial(lifecycle.return_lost, claim.run.id, max_crashes=3, wake=True),
    }
    cancel = partial(lifecycle.terminate, execution.pk, by=None, reason=None)

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            StepRun.objects.select_for_update().get(execution=execution)
            changing = pool.submit(at_once, changes[change])
            waiting_for_locks(1)
            cancelling = pool.submit(at_once, cancel)
            waiting_for_locks(2)
        came = [*changing.result(), *cancelling.result()]

    assert [one for one in came if isinstance(one, Exception)] == []
    assert came[1] is True
    assert now_of(execution).status == "cancelled"
    assert run_at(execution, "a").status in ("cancelled", "failed")
