"""Pausing and resuming: nothing starts meanwhile, nothing is lost, nothing runs twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from django.db import connection, transaction
from django.db.models.functions import Now

from executions import attention, control, lifecycle, passage, recovery
from executions.control import Refused
from executions.models import Execution
from executions.signatures import JOIN
from executions.worker import walk
from tests.integration.asking import (
    PAST,
    check_one_end,
    error_of,
    let_grace_pass,
    let_pass,
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
    new_run,
    now_of,
    role,
    run_at,
    step,
    take,
    told,
    try_claim,
    waiting_for_locks,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]


def pause(execution: Execution) -> bool:
    return control.pause(execution.pk, by="ada", reason="Lunch.")


def resume(execution: Execution) -> bool:
    return control.resume(execution.pk, by="ada")


def places(broker: redis.Redis) -> list[str | int]:
    return [message.place for message in messages(broker)]


def lose_messages(broker: redis.Redis) -> None:
    broker.delete(*QUEUES)


def check_each_ran_once(execution: Execution) -> None:
    assert now_of(execution).status == "completed"
    events = told(execution)
    for path in statuses(execution):
        assert events.count(f"step.started {path}") == 1
    check_one_end(execution)


def group_then_after(**fields: Any) -> Execution:
    same = role()
    return launched(*group("a", "b", "c", of=same), step("after", same), **fields)


# --- while it is queued ---------------------------------------------------------------


def test_a_message_that_comes_while_its_execution_is_paused_starts_nothing(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")

    assert pause(execution)
    deliver_all(broker)

    assert (now_of(execution).status, now_of(execution).wake_at) == ("paused", None)
    assert statuses(execution) == {}
    assert try_claim(execution, "a") is None
    assert not lifecycle.skip(new_run(execution, "a"))


def test_resuming_sends_what_was_dropped_meanwhile(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    pause(execution)
    deliver_all(broker)

    assert resume(execution)

    assert now_of(execution).status == "pending"
    assert places(broker) == ["a"]
    deliver_all(broker)
    check_each_ran_once(execution)


@pytest.mark.parametrize("warm_s", [-1.0, 600.0])
def test_a_message_that_was_not_dropped_makes_nothing_run_twice(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, warm_s: float
) -> None:
    monkeypatch.setattr(walk, "WARM_S", warm_s)
    execution = chain("a", "b", "c")
    for _ in range(3):
        pause(execution)
        resume(execution)

    deliver_all(broker)

    check_each_ran_once(execution)


def test_who_paused_and_why_is_told() -> None:
    execution = chain("a")

    pause(execution)
    resume(execution)

    events = execution.events.order_by("id").values_list("type", "data")
    assert list(events)[1:] == [
        ("execution.paused", {"by": "ada", "reason": "Lunch."}),
        ("execution.resumed", {"by": "ada", "reason": None}),
    ]


# --- while a step runs -----------------------------------------------------------------


def test_a_running_attempt_ends_by_itself_and_the_next_step_waits(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def pausing(given: Any) -> str:
        pause(execution)
        return "done"

    execution = launched(step("a", register(pausing)), step("b", role()))

    deliver_all(broker)

    assert now_of(execution).status == "paused"
    assert statuses(execution) == {"a": "completed"}
    resume(execution)
    assert (now_of(execution).status, places(broker)) == ("running", ["b"])
    deliver_all(broker)
    check_each_ran_once(execution)
    assert outputs(execution) == {"a": "done", "b": "done"}


def test_resuming_sends_nothing_while_an_attempt_runs_which_then_goes_on(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def brief(given: Any) -> str:
        pause(execution)
        resume(execution)
        assert places(broker) == []
        return "done"

    execution = launched(step("a", register(brief)), step("b", role()))

    deliver_all(broker)

    check_each_ran_once(execution)


def test_a_warm_claim_of_a_paused_execution_records_and_claims_nothing() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    pause(execution)

    settled = lifecycle.settle_and_claim(claim, DONE, new_run(execution, "b"))

    assert (settled.recorded, settled.next) == (True, None)
    assert statuses(execution) == {"a": "completed"}


def test_the_last_step_ends_while_its_execution_is_paused(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def pausing(given: Any) -> str:
        pause(execution)
        return "done"

    execution = launched(step("a", register(pausing)), output="{{ output }}!")
    deliver_all(broker)
    assert (now_of(execution).status, statuses(execution)) == (
        "paused",
        {"a": "completed"},
    )

    resume(execution)

    assert (now_of(execution).status, now_of(execution).output) == (
        "completed",
        "done!",
    )
    assert places(broker) == []
    check_one_end(execution)


def test_an_output_that_does_not_resolve_fails_its_execution_after_the_pause(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def pausing(given: Any) -> str:
        pause(execution)
        return "done"

    execution = launched(step("a", register(pausing)), output="{{ output.absent }}")
    deliver_all(broker)
    assert now_of(execution).status == "paused"

    resume(execution)

    assert error_of(execution)["type"] == "template_error"
    check_one_end(execution)


def test_a_failure_ends_a_paused_execution(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a", by=worker())
    pause(execution)

    assert lifecycle.settle_and_fail(claim, FAILED)

    check_one_end(execution)
    with pytest.raises(Refused, match="failed already"):
        resume(execution)
    with pytest.raises(Refused, match="failed already"):
        pause(execution)


def test_a_failure_that_ends_nothing_is_passed_by_after_the_pause(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(step("a", same, on_error="continue"), step("b", same))
    claim = claimed(execution, "a", by=worker())
    lose_messages(broker)
    pause(execution)
    assert lifecycle.settle(claim, FAILED, wake=True)
    assert recovery.wake_due() == 0

    resume(execution)

    assert places(broker) == ["b"]


# --- groups ------------------------------------------------------------------------------


def test_resuming_a_group_sends_the_members_that_nobody_began(
    broker: redis.Redis,
) -> None:
    execution = group_then_after()
    finish(execution, "a")
    claim = claimed(execution, "b", by=worker())
    pause(execution)
    deliver_all(broker)
    assert lifecycle.settle(claim, DONE)

    resume(execution)

    assert places(broker) == ["c"]
    deliver_all(broker)
    check_each_ran_once(execution)


def test_a_member_that_runs_on_joins_its_group_after_the_pause(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def brief(given: Any) -> None:
        pause(execution)
        resume(execution)

    same = role()
    execution = launched(
        *group("a", "b", of=same),
        *group("c", of=register(brief)),
        step("after", same),
    )

    deliver_all(broker)

    check_each_ran_once(execution)


@pytest.mark.parametrize("last", [False, True])
def test_a_join_that_is_dropped_while_paused_is_made_up_for(
    broker: redis.Redis, last: bool
) -> None:
    same = role()
    after = [] if last else [step("after", same)]
    execution = launched(*group("a", "b", of=same), *after)
    message = None
    while not message or message.task != JOIN:
        message = take(broker)
        assert message is not None
        if message.task != JOIN:
            deliver(message)
    pause(execution)
    deliver(message)
    assert places(broker) == []

    resume(execution)

    assert places(broker) == ([] if last else ["after"])
    deliver_all(broker)
    check_each_ran_once(execution)


def test_a_join_after_a_resume_that_sent_its_own_sends_nothing_twice(
    broker: redis.Redis,
) -> None:
    execution = group_then_after()
    lose_messages(broker)
    finish(execution, "a", "b", "c")
    pause(execution)
    resume(execution)
    assert places(broker) == ["after"]

    passage.join(address_of(execution), 0)
    assert places(broker) == ["after"]
    deliver_all(broker)

    check_each_ran_once(execution)


# --- steps that wait to be tried again -----------------------------------------------------


def _retrying(*, delay_s: float, timer: bool) -> Execution:
    execution = chain("a", "b")
    claim = claimed(execution, "a")
    lifecycle.schedule_retry(claim, FAILED, delay_s=delay_s, timer=timer)
    return execution


def test_a_held_retry_that_comes_due_while_paused_is_sent_by_resuming(
    broker: redis.Redis,
) -> None:
    execution = _retrying(delay_s=0, timer=False)
    pause(execution)
    deliver_all(broker)
    assert statuses(execution) == {"a": "retrying"}

    resume(execution)

    assert places(broker) == ["a"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 2


@pytest.mark.parametrize(("delay_s", "timer"), [(40, False), (3600, True)])
def test_a_retry_that_is_not_due_after_the_pause_has_its_timer(
    broker: redis.Redis, delay_s: float, timer: bool
) -> None:
    # The message that a worker held was dropped, or never was.
    execution = _retrying(delay_s=delay_s, timer=timer)
    lose_messages(broker)
    pause(execution)
    assert now_of(execution).wake_at is None

    resume(execution)

    assert places(broker) == []
    assert now_of(execution).wake_at == run_at(execution, "a").retry_at
    let_pass(execution, 3700)
    recovery.wake_due()
    assert places(broker) == ["a"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_held_retry_and_the_timer_of_a_resume_make_one_attempt(
    broker: redis.Redis,
) -> None:
    fields = {"max_retries": 1, "retry_delay_ms": 30_000}
    given = {"times": 1, "retryable": True}
    execution = launched(step("a", role("util.fail"), input_mapping=given, **fields))
    message = take(broker)
    assert message is not None
    deliver(message)
    assert statuses(execution) == {"a": "retrying"}
    pause(execution)
    resume(execution)

    let_pass(execution, 31)
    recovery.wake_due()
    assert places(broker) == ["a", "a"]
    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 2


def test_a_retry_far_away_is_not_sent_while_paused(broker: redis.Redis) -> None:
    execution = _retrying(delay_s=3600, timer=True)
    lose_messages(broker)
    pause(execution)
    let_pass(execution, 4000)

    assert recovery.wake_due() == 0
    resume(execution)

    assert places(broker) == ["a"]


def test_of_a_groups_retries_the_due_one_is_sent_and_the_other_has_its_timer(
    broker: redis.Redis,
) -> None:
    execution = group_then_after()
    lose_messages(broker)
    finish(execution, "c")
    for path, delay_s in (("a", 0), ("b", 3600)):
        claim = claimed(execution, path)
        lifecycle.schedule_retry(claim, FAILED, delay_s=delay_s, timer=True)
    pause(execution)

    resume(execution)

    assert places(broker) == ["a"]
    assert now_of(execution).wake_at == run_at(execution, "b").retry_at


# --- workers that are gone -------------------------------------------------------------------


def test_a_step_that_lost_its_worker_while_paused_is_sent_by_resuming(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    lost(execution, "a")
    pause(execution)

    assert recovery.free_lost_steps() == 1
    assert recovery.wake_due() == 0
    assert places(broker) == []
    resume(execution)

    assert places(broker) == ["a"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_resume_that_was_not_followed_by_a_message_is_made_up_for(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    pause(execution)
    assert lifecycle.resume(execution.pk, lifecycle.Request(by=None))
    age(execution, 60)

    assert recovery.resend_lost(broker) == 1
    assert places(broker) == ["a"]


def test_a_paused_execution_is_not_sent_again(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    pause(execution)
    age(execution, 600)

    assert recovery.resend_lost(broker) == 0


# --- deadlines ---------------------------------------------------------------------------------


def test_the_deadline_of_an_execution_stands_still(broker: redis.Redis) -> None:
    execution = chain("a", timeout_ms=60_000)
    pause(execution)
    let_pass(execution, 500)
    assert recovery.wake_due() == 0
    assert not lifecycle.time_out(execution.pk)

    resume(execution)

    assert 50 < seconds_until(execution, "deadline_at") <= 60
    assert now_of(execution).wake_at == now_of(execution).deadline_at
    assert recovery.wake_due() == 0
    assert 50 < claimed(execution, "a").left_s <= 60


def test_the_deadlines_of_its_steps_stand_still(broker: redis.Redis) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same, total_timeout_ms=60_000))
    for path in "ab":
        claim = claimed(execution, path, total_timeout_ms=60_000)
        lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=True)
    assert lifecycle.settle(claimed(execution, "b"), DONE)
    ended = run_at(execution, "b").deadline_at
    pause(execution)
    let_pass(execution, 500)

    resume(execution)

    assert 50 < seconds_until(execution, "deadline_at", "a") <= 60
    assert 50 < claimed(execution, "a").left_s <= 60
    assert run_at(execution, "b").deadline_at != ended  # let pass, and not moved on
    assert seconds_until(execution, "deadline_at", "b") < 0


def test_pausing_again_and_again_adds_up(broker: redis.Redis) -> None:
    execution = chain("a", timeout_ms=60_000)
    for _ in range(3):
        pause(execution)
        let_pass(execution, 100)
        resume(execution)

    assert 50 < seconds_until(execution, "deadline_at") <= 60


def test_an_execution_without_a_deadline_gets_none() -> None:
    execution = chain("a")
    pause(execution)
    resume(execution)

    assert (now_of(execution).deadline_at, now_of(execution).wake_at) == (None, None)


@pytest.mark.parametrize("resumed", ["meanwhile", "afterwards"])
def test_an_attempt_that_the_old_deadline_cut_is_made_again(
    broker: redis.Redis, register: Callable[..., str], resumed: str
) -> None:
    calls: list[str] = []

    def slow(given: Any) -> str:
        calls.append("called")
        if len(calls) == 1:
            pause(execution)
            if resumed == "meanwhile":
                paused_at = Now() - timedelta(seconds=500)
                Execution.objects.update(paused_at=paused_at)
                resume(execution)
            while True:
                pass
        return "done"

    execution = launched(step("a", register(slow)), step("b", role()), timeout_ms=1500)

    deliver_all(broker)
    assert statuses(execution) == {"a": "retrying"}
    if resumed == "afterwards":
        let_pass(execution, 500)
        resume(execution)
    else:
        assert recovery.wake_due() == 1
    assert places(broker) == ["a"]
    Execution.objects.update(deadline_at=None)
    deliver_all(broker)

    check_one_end(execution)
    assert outputs(execution) == {"a": "done", "b": "done"}
    assert (run_at(execution, "a").attempt, run_at(execution, "a").spent) == (2, 1)


def test_an_attempt_that_may_be_made_once_and_was_cut_needs_attention(
    broker: redis.Redis, register: Callable[..., str]
) -> None:
    def slow(given: Any) -> str:
        pause(execution)
        while True:
            pass

    once = step("a", register(slow), at_most_once=True)
    execution = launched(once, timeout_ms=1500)

    deliver_all(broker)

    assert statuses(execution) == {"a": "needs_attention"}
    resume(execution)
    assert now_of(execution).status == "waiting"


# --- steps that need attention --------------------------------------------------------------------


def _aside() -> Execution:
    same = role()
    execution = launched(step("a", same, at_most_once=True), step("b", same))
    assert lifecycle.put_aside(lost(execution, "a").run.id)
    return execution


def test_an_execution_that_needs_attention_needs_it_after_the_pause_too(
    broker: redis.Redis,
) -> None:
    execution = _aside()
    lose_messages(broker)

    assert pause(execution)
    assert now_of(execution).status == "paused"
    assert resume(execution)

    assert now_of(execution).status == "waiting"
    assert statuses(execution) == {"a": "needs_attention"}
    assert places(broker) == []


def test_what_somebody_decides_while_it_is_paused_counts_after_the_pause(
    broker: redis.Redis,
) -> None:
    execution = _aside()
    lose_messages(broker)
    pause(execution)

    assert attention.settle_step(execution.pk, "a", by="ada", action="complete")
    assert (now_of(execution).status, places(broker)) == ("paused", [])
    resume(execution)

    assert (now_of(execution).status, places(broker)) == ("running", ["b"])


def test_the_other_members_of_its_group_go_on_after_the_pause(
    broker: redis.Redis,
) -> None:
    same = role()
    execution = launched(*group("a", "b", of=same, at_most_once=True))
    pause(execution)
    resume(execution)
    lose_messages(broker)
    lifecycle.put_aside(lost(execution, "a").run.id)
    pause(execution)

    resume(execution)

    assert (now_of(execution).status, places(broker)) == ("running", ["b"])


# --- again, and too late --------------------------------------------------------------------------


def test_pausing_and_resuming_twice_do_it_once(broker: redis.Redis) -> None:
    execution = chain("a", "b")
    lose_messages(broker)

    assert [pause(execution), pause(execution)] == [True, False]
    assert [resume(execution), resume(execution)] == [True, False]

    assert places(broker) == ["a"]
    assert told(execution)[1:] == ["execution.paused", "execution.resumed"]


@pytest.mark.parametrize("begun", [False, True])
def test_an_execution_that_is_not_paused_is_not_resumed(
    broker: redis.Redis, begun: bool
) -> None:
    execution = chain("a", "b")
    if begun:
        finish(execution, "a")
    before = told(execution)

    assert not resume(execution)

    assert told(execution) == before
    assert places(broker) == ["a"]


@pytest.mark.parametrize("verb", [pause, resume])
def test_an_execution_that_has_ended_is_neither_paused_nor_resumed(
    verb: Callable[[Execution], bool],
) -> None:
    execution = chain("a")
    control.terminate(execution.pk, by=None)
    before = told(execution)

    with pytest.raises(Refused, match="cancelled already") as refused:
        verb(execution)

    assert refused.value.code == "already_finished"
    assert told(execution) == before


def test_a_paused_execution_of_which_something_runs_is_cancelled() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a", by=worker())
    pause(execution)

    assert control.cancel(execution.pk, by=None)
    assert now_of(execution).status == "paused"
    with pytest.raises(Refused) as refused:
        resume(execution)
    assert refused.value.code == "being_cancelled"
    assert lifecycle.let_go(claim)
    assert lifecycle.finish_cancel(execution.pk)

    check_one_end(execution)


def test_a_paused_execution_is_cancelled_after_the_grace() -> None:
    execution = chain("a", "b")
    claimed(execution, "a", by=worker())
    pause(execution)
    control.cancel(execution.pk, by=None)
    let_grace_pass(execution)

    recovery.wake_due()

    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


# --- at once ----------------------------------------------------------------------------------------


def come_to_an_end(execution: Execution, broker: redis.Redis) -> None:
    """Resume what is paused, and deliver what there is."""
    resume(execution)
    deliver_all(broker)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("warm_s", [-1.0, 600.0])
def test_a_pause_in_the_middle_of_a_walk_loses_nothing(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, turn: int, warm_s: float
) -> None:
    monkeypatch.setattr(walk, "WARM_S", warm_s)
    execution = chain(*(f"s{n}" for n in range(12)))
    message = take(broker)
    assert message is not None

    at_once(partial(deliver, message), partial(pause, execution))
    deliver_all(broker)

    come_to_an_end(execution, broker)
    check_each_ran_once(execution)


@pytest.mark.parametrize("turn", range(4))
def test_a_resume_that_meets_the_end_of_a_step_loses_nothing(
    broker: redis.Redis, turn: int
) -> None:
    execution = chain("a", "b")
    lose_messages(broker)
    claim = claimed(execution, "a", by=worker())
    pause(execution)

    settled, resumed = at_once(
        partial(lifecycle.settle_and_claim, claim, DONE, new_run(execution, "b")),
        partial(resume, execution),
    )

    assert resumed is True
    assert isinstance(settled, lifecycle.Settled)
    assert settled.recorded
    if settled.next:
        assert places(broker) == []
        assert lifecycle.settle_and_complete(settled.next, DONE, None)
    elif not places(broker):
        # The walk goes on by itself with a plain claim.
        assert lifecycle.settle_and_complete(claimed(execution, "b"), DONE, None)
    else:
        deliver_all(broker)
    check_each_ran_once(execution)


@pytest.mark.parametrize("turn", range(4))
def test_a_resume_that_meets_the_end_of_the_last_step_ends_the_execution(
    broker: redis.Redis, turn: int
) -> None:
    execution = chain("a")
    claim = claimed(execution, "a", by=worker())
    pause(execution)

    at_once(
        partial(lifecycle.settle_and_complete, claim, DONE, None),
        partial(resume, execution),
    )

    check_each_ran_once(execution)


@pytest.mark.parametrize("last", [False, True])
def test_a_step_that_ends_while_a_resume_commits_goes_on(
    broker: redis.Redis, last: bool
) -> None:
    execution = chain("a") if last else chain("a", "b")
    claim = claimed(execution, "a", by=worker())
    pause(execution)
    end: partial[Any] = partial(lifecycle.settle_and_complete, claim, DONE, None)
    if not last:
        run = new_run(execution, "b")
        end = partial(lifecycle.settle_and_claim, claim, DONE, run)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert lifecycle.resume(execution.pk, lifecycle.Request(by=None))
            ending = pool.submit(at_once, end)
            waiting_for_locks(1)
        ending.result()

    if last:
        check_each_ran_once(execution)
    else:
        assert statuses(execution) == {"a": "completed", "b": "running"}


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("verbs", [(pause,), (resume,), (resume, pause)])
def test_a_join_at_the_same_time_loses_nothing(
    broker: redis.Redis, turn: int, verbs: tuple[Callable[[Execution], bool], ...]
) -> None:
    execution = group_then_after()
    lose_messages(broker)
    finish(execution, "a", "b", "c")
    if resume in verbs:
        pause(execution)

    at_once(
        partial(passage.join, address_of(execution), 0),
        *(partial(verb, execution) for verb in verbs),
    )

    come_to_an_end(execution, broker)
    check_each_ran_once(execution)


@pytest.mark.parametrize("turn", range(4))
def test_the_last_member_and_a_resume_at_the_same_time_lose_nothing(
    broker: redis.Redis, turn: int, register: Callable[..., str]
) -> None:
    def paused(given: Any) -> None:
        pause(execution)
        connection.close()  # here it has a thread of its own

    same = role()
    execution = launched(*group("a", of=register(paused)), step("after", same))
    message = take(broker)
    assert message is not None

    at_once(partial(deliver, message), partial(resume, execution))

    come_to_an_end(execution, broker)
    check_each_ran_once(execution)


def test_of_many_who_pause_and_resume_at_once_one_does_each(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    lose_messages(broker)

    paused = at_once(*[partial(pause, execution)] * 4)
    resumed = at_once(*[partial(resume, execution)] * 4)

    assert sorted(map(str, paused)) == ["False"] * 3 + ["True"]
    assert sorted(map(str, resumed)) == ["False"] * 3 + ["True"]
    assert places(broker) == ["a"]
    assert times_told(execution, "execution.paused") == 1


def test_a_timer_that_fires_as_the_pause_begins_moves_nothing(
    broker: redis.Redis,
) -> None:
    execution = _retrying(delay_s=0, timer=True)
    lose_messages(broker)
    Execution.objects.update(deadline_at=PAST)

    pause(execution)
    recovery._wake(execution.pk, now_of(execution).created_at, True, None)
    recovery._wake(execution.pk, now_of(execution).created_at, False, None)

    assert (now_of(execution).status, now_of(execution).wake_at) == ("paused", None)
    assert places(broker) == []
