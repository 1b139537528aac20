"""Claims: who may begin a step, and that nobody else does."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection

from executions import lifecycle
from executions.lifecycle import Claim
from executions.models import Execution, StepRun
from tests.integration.engine import (
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
    try_claim,
    worker,
)

pytestmark = pytest.mark.django_db


def retry_in(execution: Execution, delay_s: float) -> None:
    """Let step `a` have failed once, to be tried again in `delay_s` seconds."""
    claim = claimed(execution, "a")
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=delay_s, timer=False)


# --- the first claim ----------------------------------------------------------------


def test_the_first_claim_starts_the_execution() -> None:
    execution = chain("a", "b")

    claim = claimed(execution, "a", input={"x": 1})

    run, now = run_at(execution, "a"), now_of(execution)
    assert (now.status, run.status, run.input) == ("running", "running", {"x": 1})
    assert now.started_at is not None
    assert (claim.attempt, claim.crashes, claim.fence) == (1, 0, 1)
    assert told(execution) == [
        "execution.created",
        "execution.started",
        "step.started a",
    ]


def test_only_the_first_claim_starts_the_execution() -> None:
    execution = chain("a", "b")
    finish(execution, "a")
    started_at = now_of(execution).started_at

    claimed(execution, "b")

    assert now_of(execution).started_at == started_at
    assert told(execution).count("execution.started") == 1


def test_a_claim_that_takes_the_execution_for_running_still_starts_it() -> None:
    execution = chain("a")

    claim = lifecycle.claim(new_run(execution, "a"), execution_started=True)

    assert claim is not None
    assert now_of(execution).status == "running"


def test_a_claim_that_takes_the_execution_for_pending_starts_it_once() -> None:
    execution = chain("a", "b")
    finish(execution, "a")

    claim = lifecycle.claim(new_run(execution, "b"), execution_started=False)

    assert claim is not None
    assert told(execution).count("execution.started") == 1


def test_an_attempt_gets_the_steps_own_time() -> None:
    execution = chain("a")

    claim = claimed(execution, "a", timeout_ms=5000)

    assert 4.0 < claim.left_s <= 5.0
    assert run_at(execution, "a").attempt_deadline == claim.deadline


def test_an_attempt_gets_no_more_time_than_its_execution_has() -> None:
    execution = chain("a", timeout_ms=1000)

    claim = claimed(execution, "a", timeout_ms=60_000)

    assert claim.left_s <= 1.0
    assert claim.deadline == now_of(execution).deadline_at


# --- claims that fail ---------------------------------------------------------------


def test_a_second_claim_gets_nothing() -> None:
    execution = chain("a")
    claimed(execution, "a")

    assert try_claim(execution, "a") is None
    assert run_at(execution, "a").fence == 1


def test_the_worker_that_has_a_step_does_not_get_it_again_either() -> None:
    execution, by = chain("a"), worker()
    claimed(execution, "a", by=by)

    assert try_claim(execution, "a", by=by) is None


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_claim_of_another_epoch_writes_nothing(epoch: int) -> None:
    execution = chain("a")

    assert try_claim(execution, "a", epoch=epoch) is None
    assert now_of(execution).status == "pending"
    assert not StepRun.objects.exists()
    assert told(execution) == ["execution.created"]


def test_a_claim_of_an_unknown_execution_writes_nothing() -> None:
    execution = chain("a")

    run = new_run(execution, "a", execution_id=uuid4())

    assert lifecycle.claim(run, execution_started=False) is None
    assert not StepRun.objects.exists()


@pytest.mark.parametrize("end", ["cancelled", "failed", "completed", "timed_out"])
def test_nothing_starts_in_an_execution_that_has_ended(end: str) -> None:
    execution = chain("a", "b", timeout_ms=60_000)
    finish(execution, "a")
    match end:
        case "cancelled":
            lifecycle.terminate(execution.pk, by=None, reason=None)
        case "failed":
            lifecycle.fail(execution.pk, epoch=1, error={"type": "x"})
        case "completed":
            lifecycle.complete(execution.pk, epoch=1, output=None)
        case "timed_out":
            Execution.objects.update(deadline_at="2000-01-01T00:00Z")
            lifecycle.time_out(execution.pk)
    assert now_of(execution).status == end
    before = told(execution)

    for started in (True, False):
        run = new_run(execution, "b")
        assert lifecycle.claim(run, execution_started=started) is None
    assert not lifecycle.skip(new_run(execution, "b"))

    assert told(execution) == before


def test_a_finished_step_is_not_claimed_again() -> None:
    execution = chain("a", "b")
    finish(execution, "a")

    assert try_claim(execution, "a") is None
    assert run_at(execution, "a").status == "completed"


def test_a_skipped_step_is_not_claimed() -> None:
    execution = chain("a", "b")
    assert lifecycle.skip(new_run(execution, "a"))

    assert try_claim(execution, "a") is None


# --- retries ------------------------------------------------------------------------


def test_a_retry_that_is_not_due_is_not_claimed() -> None:
    execution = chain("a")
    retry_in(execution, 60)

    assert try_claim(execution, "a") is None
    assert run_at(execution, "a").status == "retrying"


def test_a_retry_that_is_due_is_claimed_with_the_next_fence() -> None:
    execution = chain("a")
    retry_in(execution, 0)
    first_start = run_at(execution, "a").started_at

    claim = claimed(execution, "a")

    run = run_at(execution, "a")
    assert (claim.attempt, claim.fence, claim.tries) == (2, 2, 2)
    assert (run.status, run.retry_at, run.started_at) == ("running", None, first_start)
    assert told(execution)[-1] == "step.started a"


def test_a_retry_may_be_claimed_a_moment_early() -> None:
    # A message's delay and the database's clock do not agree to the millisecond.
    execution = chain("a")
    retry_in(execution, 0.09)

    assert try_claim(execution, "a") is not None


def test_fences_grow_with_every_claim() -> None:
    execution = chain("a")
    fences = []
    for _ in range(4):
        claim = claimed(execution, "a")
        fences.append(claim.fence)
        lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=False)

    assert fences == [1, 2, 3, 4]


def test_attempts_that_were_lost_are_no_tries() -> None:
    execution, by = chain("a"), worker()
    claim = claimed(execution, "a", by=by)
    end_lease(by)
    assert lifecycle.return_lost(claim.run.id, max_crashes=3, wake=False)

    again = claimed(execution, "a")

    assert (again.attempt, again.crashes, again.tries) == (2, 1, 1)
    assert again.fence > claim.fence + 1


def test_a_new_attempt_gets_new_time_and_its_new_input() -> None:
    execution = chain("a")
    first = claimed(execution, "a", timeout_ms=1000, input={"n": 1})
    lifecycle.schedule_retry(first, FAILED, delay_s=0, timer=False)

    second = claimed(execution, "a", timeout_ms=1000, input={"n": 2})

    assert second.deadline > first.deadline
    assert run_at(execution, "a").input == {"n": 2}


# --- recognising one's own ----------------------------------------------------------


def test_a_claim_is_recognised_by_its_worker_alone() -> None:
    execution, by = chain("a"), worker()
    claim = claimed(execution, "a", by=by)

    own = lifecycle.claim_of(claim.run)
    others = lifecycle.claim_of(new_run(execution, "a", by=worker()))

    assert own is not None
    assert (own.fence, own.deadline) == (claim.fence, claim.deadline)
    assert others is None


def test_a_claim_that_ended_is_not_recognised() -> None:
    execution, by = chain("a"), worker()
    finish(execution, "a")

    assert lifecycle.claim_of(new_run(execution, "a", by=by)) is None


# --- skipping -----------------------------------------------------------------------


def test_skipping_the_first_step_starts_the_execution() -> None:
    execution = chain("a", "b")

    assert lifecycle.skip(new_run(execution, "a"))

    assert now_of(execution).status == "running"
    assert told(execution)[1:] == ["execution.started", "step.skipped a"]


def test_a_step_is_skipped_once() -> None:
    execution = chain("a", "b")
    lifecycle.skip(new_run(execution, "a"))

    assert not lifecycle.skip(new_run(execution, "a"))
    assert told(execution).count("step.skipped a") == 1


def test_a_step_that_runs_is_not_skipped() -> None:
    execution = chain("a")
    claimed(execution, "a")

    assert not lifecycle.skip(new_run(execution, "a"))
    assert run_at(execution, "a").status == "running"


def test_a_stale_message_skips_nothing() -> None:
    execution = chain("a")

    assert not lifecycle.skip(new_run(execution, "a", epoch=0))
    assert now_of(execution).status == "pending"


# --- the database's own guards --------------------------------------------------------


def test_no_step_runs_without_a_worker() -> None:
    execution = chain("a")
    claimed(execution, "a")

    with pytest.raises(IntegrityError, match="step_run_running_has_worker"):
        StepRun.objects.filter(execution=execution).update(worker=None)


def test_no_step_has_a_status_that_nobody_knows() -> None:
    execution = chain("a")
    claimed(execution, "a")

    with pytest.raises(IntegrityError, match="step_run_status"):
        StepRun.objects.filter(execution=execution).update(status="dreaming")


# --- many at once ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_many_who_claim_a_step_at_once_one_gets_it() -> None:
    execution = chain("a")
    runs = [new_run(execution, "a") for _ in range(8)]

    came = at_once(
        *(partial(lifecycle.claim, run, execution_started=False) for run in runs)
    )

    won = [one for one in came if isinstance(one, Claim)]
    assert len(won) == 1
    assert came.count(None) == 7
    assert run_at(execution, "a").worker == won[0].run.worker
    assert told(execution).count("step.started a") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("started", [False, True])
def test_the_members_of_a_first_group_are_claimed_at_once_without_deadlock(
    started: bool,
) -> None:
    # Half of those who come after the start have still seen the execution pending.
    same = role()
    members = [f"m{n}" for n in range(8)]
    execution = launched(*group("first", *members, of=same))
    if started:
        claimed(execution, "first")
    runs = [new_run(execution, member) for member in members]

    came = at_once(
        *(
            partial(lifecycle.claim, run, execution_started=started and n > 3)
            for n, run in enumerate(runs)
        )
    )

    assert [type(one) for one in came] == [Claim] * 8
    events = told(execution)
    assert events.count("execution.started") == 1
    assert {f"step.started {member}" for member in members} <= set(events)


@pytest.mark.django_db(transaction=True)
def test_a_claim_and_a_skip_at_once_leave_one_of_them() -> None:
    same = role()
    execution = launched(step("a", same))
    run = new_run(execution, "a")

    came = at_once(
        partial(lifecycle.claim, run, execution_started=False),
        partial(lifecycle.skip, run),
    )

    status = run_at(execution, "a").status
    outcomes = {"running": (True, False), "skipped": (False, True)}
    assert tuple(bool(one) for one in came) == outcomes[status]
    assert len([event for event in told(execution) if event.endswith(" a")]) == 1


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_the_disk_and_what_follows_does() -> None:
    execution = chain("a")

    claimed(execution, "a")

    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)
