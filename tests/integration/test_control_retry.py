"""Retrying an execution: it goes on from where it ended, and repeats nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
from django.db.models.functions import Now

from executions import control, lifecycle, recovery, situation
from executions.control import Refused
from executions.models import Execution
from executions.worker import walk
from executions.worker.walk import NOWHERE, Walk
from tests.integration.asking import (
    PAST,
    after_statement,
    error_of,
    let_grace_pass,
    let_timer_fire,
    lost,
    outputs,
    seconds_until,
    statuses,
    times_told,
)
from tests.integration.engine import (
    DONE,
    FAILED,
    QUEUES,
    address_of,
    age,
    at_once,
    chain,
    claimed,
    deliver,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    role,
    run_at,
    step,
    take,
    told,
    try_claim,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

NEVER = {"field": "context.input.absent", "operator": "exists"}


def retry(execution: Execution) -> bool:
    return control.retry(execution.pk, by="ada", reason="Mended.")


def places(broker: redis.Redis) -> list[str | int]:
    return [message.place for message in messages(broker)]


def failing(times: int, **fields: Any) -> dict[str, Any]:
    """Make a step's fields with which it fails so many attempts, then succeeds."""
    given = {"times": times, "retryable": bool(fields.get("max_retries"))}
    return {"retry_delay_ms": 0, "input_mapping": given, **fields}


def fail(execution: Execution, path: str) -> None:
    assert lifecycle.settle_and_fail(claimed(execution, path), FAILED)


# --- from the step that failed ----------------------------------------------------------


def test_a_chain_goes_on_from_the_step_that_failed(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        step("a", same),
        step("b", role("util.fail"), **failing(1)),
        step("c", same),
        output="{{ context.c }}",
        given={"x": 1},
    )
    deliver_all(broker)
    assert now_of(execution).status == "failed"
    first = run_at(execution, "a")

    assert retry(execution)

    now = now_of(execution)
    assert (now.status, now.epoch, now.cursor) == ("running", 2, 1)
    assert (now.error, now.output, now.finished_at) == (None, None, None)
    (message,) = messages(broker)
    assert (message.queue, message.place, message.kwargs["epoch"]) == ("cpu", "b", 2)
    deliver_all(broker)
    now = now_of(execution)
    assert (now.status, now.output) == ("completed", {"attempt": 2})
    again = run_at(execution, "a")
    assert (again.finished_at, again.fence) == (first.finished_at, first.fence)
    assert times_told(execution, "step.started a") == 1


def test_who_retried_and_why_is_told() -> None:
    execution = chain("a", "b")
    finish(execution, "a")
    fail(execution, "b")
    before = len(told(execution))

    retry(execution)

    said = {"by": "ada", "reason": "Mended."}
    events = execution.events.order_by("id").values_list("type", "path", "data")
    assert list(events)[before:] == [
        ("execution.retried", None, said),
        ("step.reset", "b", said),
    ]


def test_the_step_is_the_same_run_with_the_same_idempotency_key(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    keys: list[UUID] = []

    def effect(given: Any, context: Any) -> None:
        keys.append(context.idempotency_key)
        if len(keys) < 3:
            raise LookupError

    execution = launched(step("a", register(effect)))
    deliver_all(broker)
    for _ in range(2):
        retry(execution)
        deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert keys == [str(run_at(execution, "a").pk)] * 3


def test_a_group_repeats_what_failed_and_what_was_cut_off(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        *group("done", "cut", "new", of=same),
        step("bad", role("util.fail"), parallel_group="g", **failing(1)),
        step("after", same),
        output="{{ context.after.bad.attempt }}",
    )
    finish(execution, "done")
    claimed(execution, "cut", by=worker())
    fail(execution, "bad")
    assert statuses(execution) == {
        "done": "completed",
        "cut": "cancelled",
        "bad": "failed",
    }
    broker.delete(*QUEUES)

    retry(execution)

    assert set(places(broker)) == {"cut", "new", "bad"}
    deliver_all(broker)
    assert (now_of(execution).status, now_of(execution).output) == ("completed", 2)
    assert run_at(execution, "done").attempt == 1
    assert (run_at(execution, "cut").attempt, run_at(execution, "cut").spent) == (2, 1)


def test_a_group_of_which_one_failed_is_joined_by_it_alone(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        *group("a", "b", of=same),
        step("bad", role("util.fail"), parallel_group="g", **failing(1)),
        step("after", same),
    )
    finish(execution, "a", "b")
    fail(execution, "bad")
    broker.delete(*QUEUES)

    retry(execution)
    assert places(broker) == ["bad"]
    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert times_told(execution, "step.started after") == 1


def test_failures_that_ended_nothing_are_kept(broker: redis.Redis) -> None:
    execution = launched(
        step("a", role("util.fail"), on_error="continue"),
        *group("b", of=role("util.fail"), on_error="continue"),
        step("bad", role("util.fail"), parallel_group="g", **failing(1)),
        step("c", role(), input_mapping={"errors": "{{ context.errors }}"}),
    )
    deliver_all(broker)
    assert now_of(execution).status == "failed"

    retry(execution)
    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert statuses(execution) == {
        "a": "failed",
        "b": "failed",
        "bad": "completed",
        "c": "completed",
    }
    assert run_at(execution, "a").attempt == run_at(execution, "b").attempt == 1
    assert set(outputs(execution)["c"]["errors"]) == {"a", "b"}


def test_skipped_steps_are_kept_and_conditions_to_come_are_evaluated(
    broker: redis.Redis,
) -> None:
    same = role()
    retried = {"field": "context.bad.attempt", "operator": "==", "value": 2}
    execution = launched(
        step("skipped", same, condition=NEVER),
        step("bad", role("util.fail"), **failing(1)),
        step("then", same, condition=retried),
        step("never", same, condition=NEVER),
    )
    deliver_all(broker)

    retry(execution)
    deliver_all(broker)

    assert statuses(execution) == {
        "skipped": "skipped",
        "bad": "completed",
        "then": "completed",
        "never": "skipped",
    }
    assert times_told(execution, "step.skipped skipped") == 1


def test_the_condition_of_a_step_that_runs_again_is_evaluated_again(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role(), condition=NEVER), step("b", role()))
    fail(execution, "a")  # as if it had held before
    broker.delete(*QUEUES)

    retry(execution)
    deliver_all(broker)

    assert statuses(execution) == {"a": "skipped", "b": "completed"}
    assert run_at(execution, "a").error is None


# --- tries and times anew -----------------------------------------------------------------


def test_it_has_all_its_tries_anew(broker: redis.Redis) -> None:
    execution = launched(
        step("a", role("util.fail"), **failing(5, max_retries=2)), step("b", role())
    )
    deliver_all(broker)
    assert (now_of(execution).status, run_at(execution, "a").attempt) == ("failed", 3)

    retry(execution)

    run = run_at(execution, "a")
    assert (run.status, run.attempt, run.spent, run.crashes) == ("pending", 3, 3, 0)
    deliver_all(broker)
    assert (now_of(execution).status, run_at(execution, "a").attempt) == (
        "completed",
        6,
    )


def test_a_retry_of_a_retry_has_them_anew_again(broker: redis.Redis) -> None:
    execution = launched(step("a", role("util.fail"), **failing(4, max_retries=1)))
    for tries in (2, 4):
        deliver_all(broker)
        assert now_of(execution).status == "failed"
        assert run_at(execution, "a").attempt == tries
        assert retry(execution)
    deliver_all(broker)

    assert (now_of(execution).status, now_of(execution).epoch) == ("completed", 3)
    assert run_at(execution, "a").attempt == 5


def test_crashes_before_count_no_more(broker: redis.Redis) -> None:
    execution = launched(step("a", role(), max_retries=1))
    for _ in range(4):
        lost(execution, "a")
        recovery.free_lost_steps()
    assert error_of(execution)["type"] == "crashed"
    assert retry(execution)

    for _ in range(3):
        lost(execution, "a")
        recovery.free_lost_steps()

    assert statuses(execution) == {"a": "retrying"}
    claim = claimed(now_of(execution), "a")
    assert (claim.attempt, claim.crashes, claim.spent, claim.tries) == (8, 3, 4, 1)


def test_its_time_begins_anew(broker: redis.Redis) -> None:
    execution = launched(step("a", role(), total_timeout_ms=20_000), timeout_ms=60_000)
    claimed(execution, "a", total_timeout_ms=20_000)
    Execution.objects.update(deadline_at=PAST, wake_at=PAST)
    execution.step_runs.update(deadline_at=PAST)
    recovery.wake_due()
    assert now_of(execution).status == "timed_out"

    assert retry(execution)

    assert 50 < seconds_until(execution, "deadline_at") <= 60
    assert 50 < seconds_until(execution, "wake_at") <= 60
    assert run_at(execution, "a").deadline_at is None
    claim = claimed(now_of(execution), "a", total_timeout_ms=20_000)
    assert claim.step_left_s is not None
    assert 10 < claim.step_left_s <= 20
    assert claim.limit == "step"


def test_without_a_time_limit_it_has_no_timer() -> None:
    execution = chain("a")
    fail(execution, "a")

    retry(execution)

    assert (now_of(execution).deadline_at, now_of(execution).wake_at) == (None, None)


# --- however it ended -----------------------------------------------------------------------


def _cancelled(execution: Execution) -> None:
    claimed(execution, "b", by=worker())
    control.cancel(execution.pk, by=None)
    let_grace_pass(execution)
    recovery.wake_due()


def _terminated(execution: Execution) -> None:
    claimed(execution, "b", by=worker())
    control.terminate(execution.pk, by=None)


def _cancelled_between(execution: Execution) -> None:
    control.cancel(execution.pk, by=None)


def _cancelled_while_paused(execution: Execution) -> None:
    control.pause(execution.pk, by=None)
    control.cancel(execution.pk, by=None)


def _cancelled_while_retrying(execution: Execution) -> None:
    claim = claimed(execution, "b")
    lifecycle.schedule_retry(claim, FAILED, delay_s=3600, timer=True)
    control.cancel(execution.pk, by=None)


def _timed_out(execution: Execution) -> None:
    claimed(execution, "b", by=worker())
    Execution.objects.update(deadline_at=PAST)
    assert lifecycle.time_out(execution.pk)


ENDED = (
    _cancelled,
    _terminated,
    _cancelled_between,
    _cancelled_while_paused,
    _cancelled_while_retrying,
    _timed_out,
)


@pytest.mark.parametrize("end", ENDED)
def test_it_goes_on_however_it_ended(
    broker: redis.Redis, end: Callable[[Execution], None]
) -> None:
    execution = chain("a", "b", "c")
    finish(execution, "a")
    end(execution)
    broker.delete(*QUEUES)

    assert retry(execution)

    now = now_of(execution)
    assert (now.status, now.cancel_request, now.paused_at) == ("running", None, None)
    assert places(broker) == ["b"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert set(statuses(execution).values()) == {"completed"}
    assert run_at(execution, "a").attempt == 1


def test_what_was_cancelled_before_it_began_is_pending_again(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    control.cancel(execution.pk, by=None)
    broker.delete(*QUEUES)

    assert retry(execution)

    assert (now_of(execution).status, places(broker)) == ("pending", ["a"])
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert times_told(execution, "execution.started") == 1


def test_an_output_that_does_not_resolve_fails_again_and_runs_nothing(
    broker: redis.Redis,
) -> None:
    execution = launched(
        step("a", role()), *group("b", of=role()), output="{{ context.a.absent }}"
    )
    deliver_all(broker)
    before = error_of(execution)
    assert before["type"] == "template_error"

    assert retry(execution)

    assert (now_of(execution).status, error_of(execution)) == ("failed", before)
    assert places(broker) == []
    assert told(execution)[-2:] == ["execution.retried", "execution.failed"]


def test_a_step_without_a_worker_in_time_waits_anew(broker: redis.Redis) -> None:
    execution = launched(step("a", role(), queue_timeout_ms=60_000), step("b", role()))
    age(execution, 61)
    let_timer_fire(execution)
    recovery.wake_due()
    assert error_of(execution)["type"] == "queue_timed_out"
    broker.delete(*QUEUES)

    assert retry(execution)

    assert (now_of(execution).status, places(broker)) == ("pending", ["a"])
    assert 50 < seconds_until(execution, "wake_at") <= 60
    let_timer_fire(execution)
    recovery.wake_due()
    assert statuses(execution) == {"a": "pending"}
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_step_that_may_run_once_runs_again_because_somebody_asks_for_it(
    broker: redis.Redis,
) -> None:
    execution = launched(step("a", role("util.fail"), **failing(1), at_most_once=True))
    deliver_all(broker)
    assert now_of(execution).status == "failed"

    retry(execution)
    deliver_all(broker)

    assert outputs(execution) == {"a": {"attempt": 2}}


# --- messages of before -----------------------------------------------------------------------


def test_old_messages_are_dead(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    (old,) = messages(broker)
    finish(execution, "a")
    fail(execution, "b")
    broker.delete(*QUEUES)
    before = address_of(execution)
    retry(execution)

    deliver(old)

    assert statuses(execution) == {"a": "completed", "b": "pending"}
    assert Walk.of(before, path="b", pool="cpu").go() == NOWHERE
    assert try_claim(execution, "b", epoch=1) is None
    assert not lifecycle.complete(execution.pk, epoch=1, output=None)
    assert lifecycle.advance(execution.pk, epoch=1, block=2) is None
    assert places(broker) == ["b"]


def test_what_an_attempt_of_before_reports_changes_nothing() -> None:
    execution = launched(*group("a", "b", of=role()))
    claim = claimed(execution, "a", by=worker())
    fail(execution, "b")
    retry(execution)
    again = claimed(now_of(execution), "a")

    assert not lifecycle.settle(claim, DONE)
    assert not lifecycle.settle_and_fail(claim, FAILED)
    assert not lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=False)
    assert lifecycle.settle(again, DONE)


@pytest.mark.parametrize("warm_s", [-1.0, 600.0])
def test_a_long_chain_goes_on_in_the_middle(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, warm_s: float
) -> None:
    monkeypatch.setattr(walk, "WARM_S", warm_s)
    same = role()
    keys = [f"s{n}" for n in range(60)]
    steps = [step(key, same) for key in keys]
    steps[40] = step("s40", role("util.fail"), **failing(1))
    execution = launched(*steps)
    deliver_all(broker)

    retry(execution)
    deliver_all(broker)

    assert now_of(execution).status == "completed"
    attempts = dict(execution.step_runs.values_list("path", "attempt"))
    assert attempts == {key: 2 if key == "s40" else 1 for key in keys}


# --- not now, and at once -----------------------------------------------------------------------


def test_a_completed_execution_is_not_retried(broker: redis.Redis) -> None:
    execution = chain("a")
    deliver_all(broker)

    with pytest.raises(Refused, match="fork") as refused:
        retry(execution)

    assert refused.value.code == "completed"
    assert now_of(execution).epoch == 1


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_an_execution_that_is_under_way_is_left_alone(
    broker: redis.Redis, state: str
) -> None:
    execution = chain("a", "b")
    if state == "running":
        claimed(execution, "a", by=worker())
    if state == "paused":
        control.pause(execution.pk, by=None)
    before = told(execution)

    assert not retry(execution)

    assert told(execution) == before
    assert (now_of(execution).epoch, places(broker)) == (1, ["a"])


@pytest.mark.parametrize("turn", range(4))
def test_of_two_who_retry_at_once_one_does(broker: redis.Redis, turn: int) -> None:
    execution = launched(
        step("a", role()), step("b", role("util.fail"), **failing(1)), step("c", role())
    )
    deliver_all(broker)

    came = at_once(*[partial(retry, execution)] * 3)

    assert sorted(map(str, came)) == ["False", "False", "True"]
    assert (now_of(execution).epoch, places(broker)) == (2, ["b"])
    assert times_told(execution, "execution.retried") == 1
    deliver_all(broker)
    assert run_at(execution, "b").attempt == 2


def test_an_execution_that_fails_as_somebody_looks_is_not_half_retried(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its steps were read as they ran, and are cut off when it is revived.
    execution = launched(*group("a", "b", of=role()), step("after", role()))
    claimed(execution, "a", by=worker())
    bad = claimed(execution, "b")
    broker.delete(*QUEUES)
    after_statement(
        monkeypatch,
        situation.reading,
        "json_build_array",
        lambda: lifecycle.settle_and_fail(bad, FAILED),
    )

    if not retry(execution):
        assert retry(execution)

    assert statuses(execution) == {"a": "pending", "b": "pending"}
    assert set(places(broker)) == {"a", "b"}


def test_a_retry_that_nobody_followed_up_is_made_up_for(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    finish(execution, "a")
    fail(execution, "b")
    broker.delete(*QUEUES)
    assert lifecycle.revive(
        execution.pk,
        lifecycle.Request(by=None),
        epoch=1,
        block=1,
        again=lifecycle.Again(steps={"b"}),
        timeout_ms=None,
    )
    age(execution, 60)

    assert recovery.resend_lost(broker) == 1
    (message,) = messages(broker)
    assert (message.place, message.kwargs["epoch"]) == ("b", 3)


@pytest.mark.parametrize("turn", range(4))
def test_a_retry_and_a_late_ending_at_once_leave_a_sound_execution(
    broker: redis.Redis, turn: int
) -> None:
    execution = launched(*group("a", "b", of=role()), step("after", role()))
    late = claimed(execution, "a", by=worker())
    fail(execution, "b")
    broker.delete(*QUEUES)

    at_once(
        partial(retry, execution),
        partial(lifecycle.settle, late, DONE),
        partial(control.terminate, execution.pk, by=None),
    )
    if now_of(execution).status in ("failed", "cancelled"):
        assert retry(execution)
    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert Execution.objects.filter(finished_at__lte=Now()).exists()


def test_a_retried_execution_can_be_paused_cancelled_and_retried_again(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    finish(execution, "a")
    fail(execution, "b")
    broker.delete(*QUEUES)
    take(broker)

    assert retry(execution)
    assert control.pause(execution.pk, by=None)
    assert control.cancel(execution.pk, by=None)
    assert retry(execution)
    deliver_all(broker)

    assert now_of(execution).status == "completed"
