"""Time limits: of an attempt, of all attempts, of an execution, and of the queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis

from executions import control, dispatch, lifecycle, passage, recovery
from executions.lifecycle import Claim, Outcome
from executions.models import Execution
from executions.states import StepStatus
from executions.worker import perform, walk
from tests.integration.asking import (
    check_one_end,
    error_of,
    let_pass,
    let_timer_fire,
    lost,
    outputs,
    seconds_until,
    statuses,
    take_timers,
    times_told,
)
from tests.integration.engine import (
    DONE,
    FAILED,
    QUEUES,
    address_of,
    age,
    at_once,
    claimed,
    deliver,
    deliver_all,
    end_lease,
    finish,
    group,
    launched,
    messages,
    new_run,
    now_of,
    plan_of,
    role,
    run_at,
    step,
    take,
    told,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

LIMIT_MS = 60_000
NEVER = {"field": "context.input.absent", "operator": "exists"}
TIMED_OUT = Outcome(status=StepStatus.TIMED_OUT, error={"type": "timed_out"})


def places(broker: redis.Redis) -> list[str | int]:
    return [message.place for message in messages(broker)]


def run_timer(execution: Execution) -> None:
    """Let the reconciler look at an execution now, whatever its timer says."""
    let_timer_fire(execution)
    assert recovery.wake_due() == 1


def wait(execution: Execution, seconds: float) -> int:
    """Let time pass, and the reconciler look at what is due."""
    let_pass(execution, seconds)
    return recovery.wake_due()


def failure_of(execution: Execution, path: str) -> dict[str, Any]:
    error = run_at(execution, path).error
    assert error is not None
    return dict(error)


def try_times(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "max_retries": 9,
        "input_mapping": {"times": number, "retryable": True},
        **fields,
    }


# --- one attempt, and all of them --------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "whole_ms", "limit"),
    [
        ({"timeout_ms": 20_000}, None, "attempt"),
        ({"timeout_ms": 20_000, "total_timeout_ms": 30_000}, 40_000, "attempt"),
        ({"timeout_ms": 30_000, "total_timeout_ms": 20_000}, 40_000, "step"),
        ({"timeout_ms": 30_000, "total_timeout_ms": 40_000}, 20_000, "execution"),
    ],
)
def test_an_attempt_ends_at_the_earliest_of_the_limits(
    fields: dict[str, Any], whole_ms: int | None, limit: str
) -> None:
    execution = launched(step("a", role(), **fields), timeout_ms=whole_ms)

    claim = claimed(execution, "a", **fields)

    assert claim.limit == limit
    assert 15 < claim.left_s <= 20
    assert 15 < seconds_until(execution, "attempt_deadline", "a") <= 20


def test_a_later_attempt_has_what_is_left_of_the_steps_time() -> None:
    fields: dict[str, Any] = {"timeout_ms": 40_000, "total_timeout_ms": LIMIT_MS}
    execution = launched(step("a", role(), **fields))
    claim = claimed(execution, "a", **fields)
    assert (claim.limit, round(claim.left_s / 10)) == ("attempt", 4)
    lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=True)
    let_pass(execution, 45)

    again = claimed(execution, "a", **fields)

    assert (again.limit, again.attempt) == ("step", 2)
    assert 10 < again.left_s <= 15
    assert again.step_left_s == pytest.approx(again.left_s, abs=1)


def test_a_warm_claim_has_the_same_limits() -> None:
    execution = launched(
        step("a", role()), step("b", role(), total_timeout_ms=20_000), timeout_ms=30_000
    )
    claim = claimed(execution, "a")
    run = new_run(execution, "b", total_timeout_ms=20_000)

    following = lifecycle.settle_and_claim(claim, DONE, run).next

    assert following is not None
    assert (following.limit, round(following.left_s / 10)) == ("step", 2)
    assert following.step_left_s is not None
    assert 15 < seconds_until(execution, "deadline_at", "b") <= 20


def test_a_retry_that_does_not_fit_is_not_made(broker: redis.Redis) -> None:
    fields = try_times(9, retry_delay_ms=30_000, total_timeout_ms=20_000)
    execution = launched(step("a", role("util.fail"), **fields), step("b", role()))

    deliver_all(broker)

    assert (run_at(execution, "a").attempt, statuses(execution)) == (1, {"a": "failed"})
    assert failure_of(execution, "a")["type"] == "failed_on_purpose"
    check_one_end(execution)


def test_a_retry_that_fits_is_made(broker: redis.Redis) -> None:
    fields = try_times(2, retry_delay_ms=0, total_timeout_ms=20_000)
    execution = launched(step("a", role("util.fail"), **fields))

    deliver_all(broker)

    assert (now_of(execution).status, run_at(execution, "a").attempt) == (
        "completed",
        3,
    )


def test_an_attempt_is_cut_at_the_steps_end(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def slow(given: Any) -> None:
        while True:
            pass

    fields = {"timeout_ms": 60_000, "total_timeout_ms": 300, "max_retries": 5}
    execution = launched(step("a", register(slow), retry_delay_ms=0, **fields))

    deliver_all(broker)

    assert statuses(execution) == {"a": "timed_out"}
    assert run_at(execution, "a").attempt == 1
    assert error_of(execution) == {
        "step_key": "a",
        "type": "timed_out",
        "message": "All attempts did not end within 300 ms.",
        "attempt": 1,
    }
    check_one_end(execution)


def test_attempts_that_time_out_are_repeated_within_the_steps_time(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def slow(given: Any) -> None:
        while True:
            pass

    fields = {"timeout_ms": 200, "total_timeout_ms": 700, "max_retries": 50}
    execution = launched(
        step("a", register(slow), retry_delay_ms=0, on_error="continue", **fields),
        step("b", role(), input_mapping="{{ context.errors.a.type }}"),
    )

    deliver_all(broker)

    assert outputs(execution)["b"] == "timed_out"
    assert 2 <= run_at(execution, "a").attempt <= 4
    check_one_end(execution)


@pytest.mark.parametrize("how", ["retrying", "lost"])
def test_a_claim_after_the_steps_end_does_not_start_the_work(
    broker: redis.Redis, register: Callable[..., str], how: str
) -> None:
    calls: list[str] = []

    def work(given: Any) -> None:
        calls.append("called")

    fields = {"total_timeout_ms": 20_000, "max_retries": 5}
    execution = launched(step("a", register(work), **fields), step("b", role()))
    if how == "retrying":
        claim = claimed(execution, "a", total_timeout_ms=20_000)
        lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=False)
    else:
        gone = worker()
        claimed(execution, "a", by=gone, total_timeout_ms=20_000)
        end_lease(gone)
        recovery.free_lost_steps()
    let_pass(execution, 30)

    deliver_all(broker)

    assert calls == []
    assert statuses(execution) == {"a": "timed_out"}
    check_one_end(execution)


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_an_attempt_that_ignores_the_steps_end_is_ended_from_outside(
    broker: redis.Redis, on_error: str
) -> None:
    fields = {"total_timeout_ms": 20_000, "max_retries": 5, "on_error": on_error}
    execution = launched(
        step("a", role(), **fields),
        step("b", role(), queue_timeout_ms=LIMIT_MS),
    )
    broker.delete(*QUEUES)
    claim = overdue_claim(execution)

    perform.end_overdue(plan_of(execution).by_path["a"], claim)

    assert statuses(execution) == {"a": "timed_out"}
    if on_error == "continue":
        recovery.wake_due()
        assert places(broker) == ["b"]
        assert 50 < seconds_until(execution, "wake_at") <= 60
    else:
        check_one_end(execution)


def overdue_claim(execution: Execution) -> Claim:
    """Claim the step a, so long ago that all of its time is used up."""
    first = claimed(execution, "a", total_timeout_ms=20_000)
    assert lifecycle.schedule_retry(first, FAILED, delay_s=0, timer=False)
    let_pass(execution, 60)
    claim = claimed(execution, "a", total_timeout_ms=20_000)
    assert claim.left_s < 0
    return claim


# --- the whole execution ---------------------------------------------------------------------


def test_an_execution_ends_at_its_deadline_with_all_that_runs(
    broker: redis.Redis,
) -> None:
    execution = launched(*group("a", "b", of=role()), timeout_ms=LIMIT_MS)
    claim = claimed(execution, "a", by=worker())
    assert wait(execution, 50) == 0

    assert wait(execution, 11) == 1

    assert error_of(execution)["type"] == "timed_out"
    assert statuses(execution) == {"a": "cancelled"}
    assert not lifecycle.settle(claim, DONE)
    before = told(execution)
    deliver_all(broker)
    assert told(execution) == before
    check_one_end(execution)


def test_a_claim_after_the_executions_deadline_does_not_start_the_work(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    calls: list[str] = []

    def work(given: Any) -> None:
        calls.append("called")

    execution = launched(step("a", register(work)), timeout_ms=LIMIT_MS)
    let_pass(execution, 61)

    deliver_all(broker)
    recovery.wake_due()

    assert calls == []
    assert now_of(execution).status == "timed_out"
    check_one_end(execution)


# --- the queue: steps that nobody takes in time -------------------------------------------------


def test_a_first_step_that_nobody_takes_ends_its_execution(broker: redis.Redis) -> None:
    execution = launched(
        step("a", role(), queue_timeout_ms=LIMIT_MS), step("b", role())
    )
    assert 50 < seconds_until(execution, "wake_at") <= 60
    assert wait(execution, 55) == 0

    assert wait(execution, 6) == 1

    error = {
        "type": "queue_timed_out",
        "message": "No worker took the step within 60000 ms.",
        "attempt": 0,
    }
    run = run_at(execution, "a")
    assert (run.status, run.attempt, run.error) == ("timed_out", 0, error)
    assert error_of(execution) == {"step_key": "a", **error}
    check_one_end(execution)
    before = told(execution)
    deliver_all(broker)
    assert told(execution) == before


def test_a_step_that_is_taken_in_time_may_take_its_time(broker: redis.Redis) -> None:
    execution = launched(
        step("a", role(), queue_timeout_ms=LIMIT_MS), step("b", role())
    )
    claim = claimed(execution, "a", by=worker())
    broker.delete(*QUEUES)

    assert wait(execution, 61) == 1

    assert statuses(execution) == {"a": "running"}
    assert (places(broker), now_of(execution).wake_at) == ([], None)
    assert lifecycle.settle(claim, DONE)


def test_the_timer_does_not_send_again_what_waits_in_the_queue(
    broker: redis.Redis,
) -> None:
    execution = launched(
        step("a", role(), queue_timeout_ms=LIMIT_MS), step("b", role())
    )
    let_pass(execution, 30)

    run_timer(execution)

    assert places(broker) == ["a"]
    assert 20 < seconds_until(execution, "wake_at") <= 30


@pytest.mark.parametrize("warm_s", [-1.0, 600.0])
@pytest.mark.parametrize("condition", [None, NEVER])
def test_the_timer_of_a_step_that_is_done_does_not_send_the_next_again(
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    warm_s: float,
    condition: dict[str, str] | None,
) -> None:
    # The next step waits in the other pool's queue, behind others.
    monkeypatch.setattr(walk, "WARM_S", warm_s)
    other_pool = role("time.delay", config={"arguments": {"ms": 0}})
    fields = {"queue_timeout_ms": LIMIT_MS, "condition": condition}
    execution = launched(step("a", role(), **fields), step("b", other_pool))
    message = take(broker)
    assert message is not None
    deliver(message)
    assert places(broker) == ["b"]

    assert wait(execution, 61) == 1

    assert places(broker) == ["b"]
    assert now_of(execution).wake_at is None


def test_the_timer_does_not_send_a_retry_again_that_waits_in_the_queue(
    broker: redis.Redis,
) -> None:
    fields = try_times(1, retry_delay_ms=0, parallel_group="g")
    execution = launched(
        step("again", role("util.fail"), **fields),
        *group("queued", of=role(), queue_timeout_ms=LIMIT_MS),
    )
    message = take(broker)
    assert message is not None
    assert deliver(message) == "RETRY"
    waiting = places(broker)

    run_timer(execution)

    assert statuses(execution) == {"again": "retrying"}
    assert places(broker) == waiting
    deliver_all(broker)
    assert now_of(execution).status == "completed"


@pytest.mark.parametrize("joined", [False, True])
def test_the_timer_of_a_group_does_not_send_what_follows_again(
    broker: redis.Redis, joined: bool
) -> None:
    same = role()
    execution = launched(
        *group("a", "b", of=same, queue_timeout_ms=LIMIT_MS), step("after", same)
    )
    for _ in range(2):
        message = take(broker)
        assert message is not None
        deliver(message)
    if joined:
        take(broker)
        passage.join(address_of(execution), 0)  # by one who does not serve the queue
    waiting = places(broker)
    assert waiting == (["after"] if joined else [0])

    wait(execution, 61)

    assert places(broker) == waiting
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_step_in_the_middle_waits_from_the_end_of_the_one_before(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WARM_S", -1.0)
    same = role()
    execution = launched(
        step("a", same), step("b", same, queue_timeout_ms=LIMIT_MS), step("c", same)
    )
    let_pass(execution, 500)
    message = take(broker)
    assert message is not None
    deliver(message)
    assert 50 < seconds_until(execution, "wake_at") <= 60
    assert wait(execution, 55) == 0
    assert statuses(execution) == {"a": "completed"}

    assert wait(execution, 6) == 1

    assert statuses(execution) == {"a": "completed", "b": "timed_out"}
    check_one_end(execution)


def test_a_step_that_follows_warm_does_not_wait_at_all(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        step("a", same), *(step(k, same, queue_timeout_ms=1) for k in ("b", "c"))
    )

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert now_of(execution).wake_at is None


@pytest.mark.parametrize("start", ["first", "after a chain"])
def test_members_of_a_group_wait_each_for_themselves(
    broker: redis.Redis, start: str
) -> None:
    same = role()
    before = [] if start == "first" else [step("before", same)]
    execution = launched(
        *before,
        step("taken", same, parallel_group="g", queue_timeout_ms=LIMIT_MS),
        step(
            "late",
            same,
            parallel_group="g",
            queue_timeout_ms=LIMIT_MS,
            on_error="continue",
        ),
        step("patient", same, parallel_group="g"),
        step("after", same, input_mapping="{{ context.errors.late.type }}"),
    )
    while start != "first" and "late" not in places(broker):
        message = take(broker)
        assert message is not None
        deliver(message)
    assert 50 < seconds_until(execution, "wake_at") <= 60
    claim = claimed(execution, "taken", by=worker())
    broker.lpop("cpu")  # the patient's message is lost, and not this timer's business

    assert wait(execution, 61) == 1

    now = {k: v for k, v in statuses(execution).items() if k != "before"}
    assert now == {"taken": "running", "late": "timed_out"}
    assert now_of(execution).status == "running"
    assert "patient" not in places(broker)
    finish(execution, "patient")
    lifecycle.settle(claim, DONE, wake=True)
    recovery.wake_due()
    deliver_all(broker)
    assert outputs(execution)["after"] == "queue_timed_out"
    check_one_end(execution)


def test_a_member_that_nobody_takes_ends_the_others_with_it() -> None:
    execution = launched(*group("a", "b", of=role(), queue_timeout_ms=LIMIT_MS))
    claimed(execution, "a", by=worker())

    wait(execution, 61)

    assert statuses(execution) == {"a": "cancelled", "b": "timed_out"}
    check_one_end(execution)


def test_members_with_other_limits_have_their_own_timers(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        *group("soon", of=same, queue_timeout_ms=30_000, on_error="continue"),
        *group("later", of=same, queue_timeout_ms=LIMIT_MS, on_error="continue"),
    )

    wait(execution, 31)
    assert statuses(execution) == {"soon": "timed_out"}
    assert 20 < seconds_until(execution, "wake_at") <= 30
    wait(execution, 31)

    assert set(statuses(execution).values()) == {"timed_out"}
    assert now_of(execution).status == "completed"
    check_one_end(execution)


# --- going on after a step that nobody took ------------------------------------------------------


def test_with_on_error_continue_the_next_step_is_sent(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        step("a", same, queue_timeout_ms=LIMIT_MS, on_error="continue"),
        step("b", same, input_mapping="{{ context.errors.a.type }}"),
    )
    broker.delete(*QUEUES)

    wait(execution, 61)

    assert places(broker) == ["b"]
    deliver_all(broker)
    assert outputs(execution)["b"] == "queue_timed_out"
    check_one_end(execution)


@pytest.mark.parametrize("shape", ["one step", "two steps", "a group"])
def test_an_execution_of_which_nobody_takes_anything_comes_to_an_end(
    broker: redis.Redis, shape: str
) -> None:
    fields: dict[str, Any] = {"queue_timeout_ms": LIMIT_MS, "on_error": "continue"}
    same = role()
    steps = {
        "one step": [step("a", same, **fields)],
        "two steps": [step(key, same, **fields) for key in "ab"],
        "a group": group("a", "b", of=same, **fields),
    }
    execution = launched(*steps[shape], output="{{ context.errors.a.type }}")

    for _ in range(2):
        wait(execution, 61)

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", "queue_timed_out")
    assert now.started_at is not None
    assert times_told(execution, "execution.started") == 1
    check_one_end(execution)


def test_after_a_group_that_nobody_took_the_canvas_goes_on(
    broker: redis.Redis,
) -> None:
    fields: dict[str, Any] = {"queue_timeout_ms": LIMIT_MS, "on_error": "continue"}
    execution = launched(*group("a", "b", of=role(), **fields), step("c", role()))
    broker.delete(*QUEUES)

    wait(execution, 61)
    assert places(broker) == ["c"]
    deliver_all(broker)

    assert statuses(execution)["c"] == "completed"
    check_one_end(execution)


@pytest.mark.parametrize("limit_ms", [5_000, LIMIT_MS])
def test_the_next_step_may_be_limited_too(broker: redis.Redis, limit_ms: int) -> None:
    same = role()
    fields = {"queue_timeout_ms": limit_ms, "on_error": "continue"}
    execution = launched(*(step(key, same, **fields) for key in "abc"))
    limit_s = limit_ms / 1000
    for sent, ended in (("b", "a"), ("c", "b")):
        broker.delete(*QUEUES)
        assert wait(execution, limit_s + 1) == 1
        assert run_at(execution, ended).status == "timed_out"
        assert places(broker) == [sent]
        assert limit_s - 3 < seconds_until(execution, "wake_at") <= limit_s

    wait(execution, limit_s + 1)

    assert set(statuses(execution).values()) == {"timed_out"}
    assert now_of(execution).status == "completed"
    check_one_end(execution)


def test_after_a_step_settled_from_outside_a_limited_one_is_sent_and_timed(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(
        step("a", same, on_error="continue"),
        step("b", same, queue_timeout_ms=LIMIT_MS),
    )
    broker.delete(*QUEUES)
    assert lifecycle.settle(claimed(execution, "a"), TIMED_OUT, wake=True)

    recovery.wake_due()

    assert places(broker) == ["b"]
    assert 50 < seconds_until(execution, "wake_at") <= 60
    run_timer(execution)
    assert places(broker) == ["b"]
    wait(execution, 61)
    assert statuses(execution)["b"] == "timed_out"


# --- retries that wait in the queue ---------------------------------------------------------------


@pytest.mark.parametrize(("delay_ms", "held"), [(30_000, True), (90_000, False)])
def test_a_retry_waits_from_when_it_is_due(
    broker: redis.Redis, delay_ms: int, held: bool
) -> None:
    fields = try_times(1, retry_delay_ms=delay_ms, queue_timeout_ms=LIMIT_MS)
    execution = launched(step("a", role("util.fail"), **fields))
    let_pass(execution, 40)
    message = take(broker)
    assert message is not None
    deliver(message)
    assert statuses(execution) == {"a": "retrying"}
    delay_s = delay_ms / 1000

    for _ in range(4):  # whatever timers there are
        wait(execution, (delay_s + 55) / 4)
    assert statuses(execution) == {"a": "retrying"}
    assert places(broker) == ["a"]
    for _ in range(3):
        wait(execution, 3)

    assert statuses(execution) == {"a": "timed_out"}
    assert failure_of(execution, "a")["type"] == "queue_timed_out"
    check_one_end(execution)


def test_a_retry_is_timed_although_the_first_timer_fired_while_it_ran(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def long(given: Any) -> None:
        wait(execution, 61)
        assert now_of(execution).wake_at is None
        raise LookupError

    fields = {"max_retries": 1, "retry_delay_ms": 0, "queue_timeout_ms": LIMIT_MS}
    execution = launched(step("a", register(long), **fields))
    message = take(broker)
    assert message is not None
    deliver(message)
    assert statuses(execution) == {"a": "retrying"}

    assert 50 < seconds_until(execution, "wake_at") <= 60
    wait(execution, 61)

    assert statuses(execution) == {"a": "timed_out"}


def test_a_step_that_is_taken_over_is_timed_in_the_queue_again(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role(), queue_timeout_ms=LIMIT_MS))
    lost(execution, "a")
    Execution.objects.update(wake_at=None)
    message = take(broker)
    assert message is not None

    assert deliver(message) == "RETRY"

    assert statuses(execution) == {"a": "retrying"}
    assert 50 < seconds_until(execution, "wake_at") <= 60


def test_a_step_that_lost_its_worker_is_timed_in_the_queue_again(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role(), queue_timeout_ms=LIMIT_MS))
    lost(execution, "a")
    broker.delete(*QUEUES)
    let_pass(execution, 61)

    recovery.free_lost_steps()
    recovery.wake_due()

    assert (statuses(execution), places(broker)) == ({"a": "retrying"}, ["a"])
    assert 50 < seconds_until(execution, "wake_at") <= 60
    wait(execution, 61)
    assert statuses(execution) == {"a": "timed_out"}


# --- pauses and messages that are sent again --------------------------------------------------------


def test_after_a_pause_it_waits_anew(broker: redis.Redis) -> None:
    execution = launched(step("a", role(), queue_timeout_ms=LIMIT_MS))
    let_pass(execution, 50)
    control.pause(execution.pk, by=None)
    assert wait(execution, 500) == 0
    broker.delete(*QUEUES)

    control.resume(execution.pk, by=None)

    assert 50 < seconds_until(execution, "wake_at") <= 60
    run_timer(execution)
    assert (statuses(execution), places(broker)) == ({}, ["a"])
    wait(execution, 61)
    assert statuses(execution) == {"a": "timed_out"}
    check_one_end(execution)


def test_while_it_is_paused_or_being_cancelled_nothing_waits_too_long() -> None:
    execution = launched(*group("a", "b", of=role(), queue_timeout_ms=LIMIT_MS))
    claimed(execution, "a", by=worker())
    control.pause(execution.pk, by=None)
    run_timer(execution)
    assert not lifecycle.expire(new_run(execution, "b"), {}, fatal=True)
    control.resume(execution.pk, by=None)
    let_pass(execution, 61)
    control.cancel(execution.pk, by=None)

    run_timer(execution)

    assert statuses(execution) == {"a": "running"}
    assert not lifecycle.expire(new_run(execution, "b"), {}, fatal=True)


def test_what_is_sent_again_waits_anew(broker: redis.Redis) -> None:
    execution = launched(step("a", role(), queue_timeout_ms=LIMIT_MS))
    broker.delete(*QUEUES)
    age(execution, 50)

    assert recovery.resend_lost(broker) == 1
    run_timer(execution)

    assert (statuses(execution), places(broker)) == ({}, ["a"])
    assert 50 < seconds_until(execution, "wake_at") <= 60


# --- at once, and again -------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("fatal", [False, True])
def test_a_worker_and_the_limit_at_once_leave_one_of_them(
    turn: int, fatal: bool
) -> None:
    execution = launched(
        step("a", role(), queue_timeout_ms=LIMIT_MS), step("b", role())
    )
    run = new_run(execution, "a")

    claim, expired = at_once(
        partial(lifecycle.claim, run, execution_started=False),
        partial(lifecycle.expire, run, {"type": "queue_timed_out"}, fatal=fatal),
    )

    assert (claim is None) is (expired is True)
    status = run_at(execution, "a").status
    assert status == ("timed_out" if expired else "running")
    if expired and fatal:
        check_one_end(execution)
    else:
        assert now_of(execution).status == "running"


def test_of_many_who_find_it_late_one_ends_it() -> None:
    execution = launched(step("a", role(), queue_timeout_ms=LIMIT_MS))
    run = new_run(execution, "a")

    came = at_once(*[partial(lifecycle.expire, run, {"type": "x"}, fatal=True)] * 4)

    assert sorted(map(str, came)) == ["False"] * 3 + ["True"]
    check_one_end(execution)


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_a_reconciler_that_dies_after_it_took_the_timer_comes_back(
    broker: redis.Redis, on_error: str
) -> None:
    same = role()
    fields = {"queue_timeout_ms": LIMIT_MS, "on_error": on_error}
    execution = launched(step("a", same, **fields), step("b", same))
    broker.delete(*QUEUES)
    let_pass(execution, 61)
    take_timers()
    assert statuses(execution) == {}

    wait(execution, 16)

    assert statuses(execution) == {"a": "timed_out"}
    assert places(broker) == (["b"] if on_error == "continue" else [])


def test_a_reconciler_that_dies_after_it_ended_the_step_comes_back(
    broker: redis.Redis,
) -> None:
    same = role()
    fields = {"queue_timeout_ms": LIMIT_MS, "on_error": "continue"}
    execution = launched(
        step("a", same, **fields), step("b", same, queue_timeout_ms=LIMIT_MS)
    )
    broker.delete(*QUEUES)
    let_pass(execution, 61)
    take_timers()
    error = {"type": "queue_timed_out", "message": "x", "attempt": 0}
    assert lifecycle.expire(new_run(execution, "a"), error, fatal=False)

    wait(execution, 16)

    assert places(broker) == ["b"]
    assert 40 < seconds_until(execution, "wake_at") <= 60


def test_the_message_of_a_step_that_was_ended_leads_on_and_starts_nothing_twice(
    broker: redis.Redis,
) -> None:
    same = role()
    fields = {"queue_timeout_ms": LIMIT_MS, "on_error": "continue"}
    execution = launched(step("a", same, **fields), step("b", same), step("c", same))

    wait(execution, 61)
    assert sorted(map(str, places(broker))) == ["a", "b"]
    deliver_all(broker)

    assert statuses(execution) == {"a": "timed_out", "b": "completed", "c": "completed"}
    assert times_told(execution, "step.started b") == 1
    check_one_end(execution)


def test_expecting_a_block_without_limits_sets_no_timer() -> None:
    execution = launched(step("a", role()), step("b", role(), queue_timeout_ms=1))

    dispatch.expect(plan_of(execution), 0, execution.pk)

    assert now_of(execution).wake_at is None
