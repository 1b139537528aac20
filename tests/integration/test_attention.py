"""Steps that may run at most once: a crash sets them aside, and a person settles them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis
from django.db import connection, transaction

from executions import attention, control, lifecycle, recovery
from executions.announce import MOVES
from executions.attention import Action
from executions.control import Refused
from executions.lifecycle import claims
from executions.lifecycle.locking import lock_execution
from executions.models import Execution
from executions.worker.walk import NOWHERE, Walk
from tests.integration.asking import (
    check_one_end,
    error_of,
    let_grace_pass,
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
    claimed,
    deliver_all,
    end_lease,
    finish,
    group,
    launched,
    lose_reply,
    messages,
    new_run,
    now_of,
    role,
    run_at,
    step,
    told,
    until,
    waiting_for_locks,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

SCHEMA = {"type": "object", "required": ["n"]}


def settle(execution: Execution, action: Action, path: str = "a", **more: Any) -> bool:
    return attention.settle_step(execution.pk, path, by="ada", action=action, **more)


def once_then_b(**fields: Any) -> Execution:
    same = role()
    return launched(step("a", same, at_most_once=True, **fields), step("b", same))


@pytest.fixture
def aside(broker: redis.Redis) -> Execution:
    """A chain of a and b whose first step needs attention; the queues are empty."""
    execution = once_then_b()
    set_aside(execution, broker)
    return execution


def set_aside(execution: Execution, broker: redis.Redis) -> None:
    broker.delete(*QUEUES)
    lost(execution, "a")
    assert recovery.free_lost_steps() == 1


def places(broker: redis.Redis) -> list[str | int]:
    return [message.place for message in messages(broker)]


# --- workers that are lost -----------------------------------------------------------


def test_a_step_that_may_run_once_is_set_aside_with_its_worker(
    broker: redis.Redis, aside: Execution
) -> None:
    run = run_at(aside, "a")
    assert (run.status, run.attempt, run.crashes) == ("needs_attention", 1, 1)
    assert run.error is not None
    assert run.error["type"] == "worker_lost"
    assert now_of(aside).status == "waiting"
    assert told(aside)[-1] == "step.needs_attention a"
    recovery.wake_due()
    age(aside, 600)
    assert recovery.resend_lost(broker) == 0
    assert places(broker) == []


def test_a_message_that_finds_it_lost_sets_it_aside_too(broker: redis.Redis) -> None:
    execution = once_then_b()
    claim = lost(execution, "a")

    assert deliver_all(broker) == [("cpu", "a")]

    assert statuses(execution) == {"a": "needs_attention"}
    assert now_of(execution).status == "waiting"
    assert not lifecycle.settle(claim, DONE)
    assert recovery.free_lost_steps() == 0
    assert Walk.of(address_of(execution), path="a", pool="cpu").go() == NOWHERE
    assert run_at(execution, "a").attempt == 1


def test_both_who_find_it_lost_at_once_set_it_aside_once() -> None:
    execution = once_then_b()
    claim = lost(execution, "a")

    came = at_once(*[partial(lifecycle.put_aside, claim.run.id)] * 4)

    assert sorted(map(str, came)) == ["False"] * 3 + ["True"]
    assert times_told(execution, "step.needs_attention a") == 1


def test_a_step_whose_worker_lives_is_not_set_aside() -> None:
    execution = once_then_b()
    claim = claimed(execution, "a", by=worker())

    assert not lifecycle.put_aside(claim.run.id)
    assert lifecycle.settle(claim, DONE)


def test_a_failure_that_is_told_is_tried_again_as_the_step_says(
    broker: redis.Redis,
) -> None:
    given = {"times": 1, "retryable": True}
    fields = {"max_retries": 1, "retry_delay_ms": 0, "input_mapping": given}
    execution = launched(step("a", role("util.fail"), at_most_once=True, **fields))

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert run_at(execution, "a").attempt == 2


def test_viewers_hear_of_it(broker: redis.Redis) -> None:
    with broker.pubsub() as heard:
        heard.subscribe(MOVES)
        until(lambda: heard.get_message(timeout=0.1), "the subscription")
        execution = once_then_b()

        def said() -> bool:
            message = heard.get_message(timeout=0.1)
            return bool(message and str(execution.pk) in str(message["data"]))

        until(said, "the announcement of its start")
        lost(execution, "a")
        recovery.free_lost_steps()
        until(said, "the announcement of its need")


# --- claims that a crashed database cannot forget ---------------------------------------


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(("once", "waits"), [(True, "on"), (False, "off")])
def test_its_claim_waits_for_the_disk(once: bool, waits: str, started: bool) -> None:
    execution = launched(step("a", role(), at_most_once=once))
    run = new_run(execution, "a", durable=once)

    with transaction.atomic():
        assert lifecycle.claim(run, execution_started=started)
        assert _synchronous_commit() == waits


def test_its_warm_claim_waits_for_the_disk() -> None:
    same = role()
    execution = launched(step("a", same), step("b", same, at_most_once=True))
    claim = claimed(execution, "a")

    with transaction.atomic():
        run = new_run(execution, "b", durable=True)
        assert lifecycle.settle_and_claim(claim, DONE, run).next
        assert _synchronous_commit() == "on"


def test_a_worker_claims_it_so(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = once_then_b()
    quick = lose_reply(monkeypatch, claims, "'synchronous_commit', 'off'")

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert not quick


def _synchronous_commit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


# --- groups ---------------------------------------------------------------------------------


def group_of_three() -> Execution:
    same = role()
    return launched(
        *group("a", of=same, at_most_once=True),
        *group("b", "c", of=same),
        step("after", same),
    )


def test_the_other_members_of_its_group_go_on(broker: redis.Redis) -> None:
    execution = group_of_three()
    lost(execution, "a")

    deliver_all(broker)

    assert statuses(execution) == {
        "a": "needs_attention",
        "b": "completed",
        "c": "completed",
    }
    age(execution, 600)
    assert recovery.resend_lost(broker) == 0
    assert now_of(execution).status == "waiting"
    settle(execution, "complete")
    assert places(broker) == ["after"]
    deliver_all(broker)
    check_one_end(execution)


def test_while_others_are_still_to_begin_the_execution_runs(
    broker: redis.Redis,
) -> None:
    execution = group_of_three()
    lost(execution, "a")
    recovery.free_lost_steps()
    finish(execution, "b")

    assert now_of(execution).status == "running"
    # Nobody has c, and its message is gone.
    broker.delete(*QUEUES)
    age(execution, 600)
    assert recovery.resend_lost(broker) == 1
    assert places(broker) == ["c"]


def test_a_timer_does_not_have_it_wait_while_others_are_still_to_begin(
    broker: redis.Redis,
) -> None:
    execution = group_of_three()
    lost(execution, "a")
    recovery.free_lost_steps()

    lifecycle.wake_execution(execution.pk)
    recovery.wake_due()

    assert now_of(execution).status == "running"
    assert places(broker) == ["a", "b", "c"]


def test_while_another_runs_or_retries_the_execution_runs(broker: redis.Redis) -> None:
    execution = group_of_three()
    runs = claimed(execution, "b", by=worker())
    claim = claimed(execution, "c")
    lifecycle.schedule_retry(claim, FAILED, delay_s=3600, timer=True)
    broker.delete(*QUEUES)
    lost(execution, "a")
    recovery.free_lost_steps()
    assert now_of(execution).status == "running"

    lifecycle.settle(runs, DONE)
    assert settle(execution, "complete")

    assert places(broker) == []
    assert now_of(execution).status == "running"
    assert statuses(execution)["c"] == "retrying"


def test_the_last_one_to_be_settled_joins_the_group(broker: redis.Redis) -> None:
    same = role()
    execution = launched(
        *group("a", "b", of=same, at_most_once=True), output="{{ output }}"
    )
    broker.delete(*QUEUES)
    for path in "ab":
        lost(execution, path)
    recovery.free_lost_steps()
    assert now_of(execution).status == "waiting"

    settle(execution, "complete", "a", output=1)
    assert now_of(execution).status == "waiting"
    settle(execution, "complete", "b", output=2)

    now = now_of(execution)
    assert (now.status, now.output) == ("completed", {"a": 1, "b": 2})
    check_one_end(execution)


# --- what people decide -----------------------------------------------------------------------


def test_completed_with_an_output_it_is_as_if_it_had_come_to_that(
    broker: redis.Redis,
) -> None:
    execution = once_then_b(output_mapping={"twice": "{{ output.n }}{{ output.n }}"})
    set_aside(execution, broker)

    assert settle(execution, "complete", output={"n": "4"}, reason="I looked.")

    run = run_at(execution, "a")
    assert (run.status, run.error) == ("completed", None)
    assert (run.output, run.exports) == ({"n": "4"}, {"twice": "44"})
    assert now_of(execution).status == "running"
    assert places(broker) == ["b"]
    deliver_all(broker)
    assert outputs(execution)["b"] == {"n": "4"}
    check_one_end(execution)


def test_the_last_step_that_is_completed_completes_its_execution(
    broker: redis.Redis,
) -> None:
    execution = launched(
        step("a", role(), at_most_once=True), output="{{ context.a.n }}"
    )
    set_aside(execution, broker)

    settle(execution, "complete", output={"n": 3})

    assert (now_of(execution).status, now_of(execution).output) == ("completed", 3)


def test_failed_it_ends_its_execution(aside: Execution, broker: redis.Redis) -> None:
    assert settle(aside, "fail", reason="The money was never sent.")

    assert error_of(aside) == {
        "step_key": "a",
        "type": "failed_by_hand",
        "message": "The money was never sent.",
        "attempt": 1,
    }
    assert places(broker) == []
    check_one_end(aside)


def test_failed_it_is_passed_by_with_on_error_continue(broker: redis.Redis) -> None:
    execution = once_then_b(on_error="continue")
    set_aside(execution, broker)

    settle(execution, "fail")

    assert statuses(execution) == {"a": "failed"}
    assert places(broker) == ["b"]
    error = run_at(execution, "a").error
    assert error is not None
    assert error["message"] == "ada settled it so."
    deliver_all(broker)
    check_one_end(execution)


def test_run_again_it_has_all_its_tries(broker: redis.Redis) -> None:
    given = {"times": 2, "retryable": True}
    fields = {"max_retries": 1, "retry_delay_ms": 0, "input_mapping": given}
    once = step("a", role("util.fail"), at_most_once=True, **fields)
    execution = launched(once)
    set_aside(execution, broker)
    key = run_at(execution, "a").pk

    assert settle(execution, "run_again")

    run = run_at(execution, "a")
    assert (run.pk, run.status, run.attempt, run.crashes) == (key, "pending", 1, 0)
    assert (run.spent, run.error, run.deadline_at) == (1, None, None)
    assert places(broker) == ["a"]
    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert outputs(execution) == {"a": {"attempt": 3}}


def test_run_again_and_lost_again_it_is_set_aside_again(broker: redis.Redis) -> None:
    execution = once_then_b()
    for turn in range(6):
        set_aside(execution, broker)
        assert run_at(execution, "a").attempt == turn + 1
        settle(execution, "run_again")

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    assert times_told(execution, "step.needs_attention a") == 6


def test_what_the_lost_attempt_reports_after_the_decision_changes_nothing() -> None:
    execution = once_then_b()
    claim = lost(execution, "a")
    recovery.free_lost_steps()
    settle(execution, "run_again")

    assert not lifecycle.settle(claim, DONE)
    assert not lifecycle.settle_and_fail(claim, FAILED)
    assert statuses(execution) == {"a": "pending"}


def test_who_decided_what_and_why_is_told_before_what_follows(
    aside: Execution,
) -> None:
    settle(aside, "fail", reason="Never sent.")

    *_, decided, step_ended, ended = aside.events.order_by("id")
    assert (decided.type, decided.path) == ("step.settled_by_hand", "a")
    assert decided.data == {"by": "ada", "reason": "Never sent.", "action": "fail"}
    assert (step_ended.type, ended.type) == ("step.failed", "execution.failed")


def test_a_wait_for_a_worker_begins_when_it_is_to_run_again(
    broker: redis.Redis,
) -> None:
    execution = once_then_b(queue_timeout_ms=60_000)
    set_aside(execution, broker)
    age(execution, 600)

    settle(execution, "run_again")
    lifecycle.wake_execution(execution.pk)
    recovery.wake_due()

    assert statuses(execution) == {"a": "pending"}
    assert 50 < seconds_until(execution, "wake_at") <= 60


# --- what cannot be its output ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({}, "'n'"),
        (None, "object"),
        ({"n": float("nan")}, "cannot be stored"),
        ({"n": "\0"}, "cannot be stored"),
        ({"n": 1, "x": object()}, "cannot be stored"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(
    broker: redis.Redis, output: Any, words: str
) -> None:
    execution = launched(
        step("a", role(output_schema=SCHEMA), at_most_once=True), step("b", role())
    )
    set_aside(execution, broker)
    before = told(execution)

    with pytest.raises(Refused, match=words) as refused:
        settle(execution, "complete", output=output)

    assert refused.value.code == "bad_output"
    assert statuses(execution) == {"a": "needs_attention"}
    assert (now_of(execution).status, told(execution)) == ("waiting", before)
    assert settle(execution, "complete", output={"n": 1})


def test_an_output_that_its_mapping_cannot_use_is_refused(broker: redis.Redis) -> None:
    execution = once_then_b(output_mapping={"n": "{{ output.n }}"})
    set_aside(execution, broker)

    with pytest.raises(Refused, match="In output_mapping") as refused:
        settle(execution, "complete", output={})

    assert refused.value.code == "bad_output"
    assert statuses(execution) == {"a": "needs_attention"}


@pytest.mark.parametrize("action", ["complete", "fail", "run_again"])
def test_a_step_that_does_not_need_attention_is_not_settled(action: Action) -> None:
    execution = once_then_b()
    for path, words in (("a", "running"), ("b", "not begun"), ("zzz", "no step")):
        if path == "a":
            claimed(execution, "a", by=worker())
        with pytest.raises(Refused, match=words):
            settle(execution, action, path)
    assert times_told(execution, "step.settled_by_hand a") == 0


# --- twice, and at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["complete", "fail", "run_again"])
def test_deciding_so_again_changes_nothing(aside: Execution, action: Action) -> None:
    assert settle(aside, action)
    before = told(aside)

    assert not settle(aside, action)

    assert told(aside) == before


@pytest.mark.parametrize(
    ("first", "second"),
    [("complete", "fail"), ("fail", "complete"), ("complete", "run_again")],
)
def test_deciding_otherwise_afterwards_is_refused(
    aside: Execution, first: Action, second: Action
) -> None:
    assert settle(aside, first)

    with pytest.raises(Refused, match="does not need attention") as refused:
        settle(aside, second)

    assert refused.value.code == "needs_no_attention"


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("complete", "complete"),
        ("complete", "fail"),
        ("fail", "run_again"),
        ("complete", "run_again"),
        ("run_again", "run_again"),
    ],
)
def test_of_two_people_who_decide_at_once_one_wins(
    aside: Execution, broker: redis.Redis, turn: int, one: Action, other: Action
) -> None:
    came = at_once(partial(settle, aside, one), partial(settle, aside, other))

    assert came.count(True) == 1
    assert all(c in (True, False) or isinstance(c, Refused) for c in came)
    if one == other:
        assert sorted(map(str, came)) == ["False", "True"]
    assert times_told(aside, "step.settled_by_hand a") == 1
    deliver_all(broker)
    check_one_end(aside)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("action", ["complete", "fail", "run_again"])
@pytest.mark.parametrize("verb", [control.cancel, control.terminate])
def test_a_decision_and_a_cancellation_at_once_leave_one_end(
    aside: Execution,
    broker: redis.Redis,
    turn: int,
    action: Action,
    verb: Callable[..., bool],
) -> None:
    came = at_once(partial(settle, aside, action), partial(verb, aside.pk, by=None))

    assert all(isinstance(c, bool | Refused) for c in came)
    deliver_all(broker)
    assert now_of(aside).status in ("cancelled", "failed")
    check_one_end(aside)


def test_a_decision_waits_for_whoever_ends_the_execution(aside: Execution) -> None:
    # Both hold the execution before they touch its steps, so neither is a deadlock's
    # victim.
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lock_execution(aside.pk)
            deciding = pool.submit(at_once, partial(settle, aside, "complete"))
            waiting_for_locks(1)
            assert lifecycle.terminate(aside.pk, by=None, reason=None)
        (came,) = deciding.result()

    assert isinstance(came, Refused)
    check_one_end(aside)


# --- the verbs -----------------------------------------------------------------------------------------


def test_its_execution_is_not_retried_while_it_waits(aside: Execution) -> None:
    assert not control.retry(aside.pk, by="ada")
    assert statuses(aside) == {"a": "needs_attention"}


@pytest.mark.parametrize("verb", [control.cancel, control.terminate])
def test_its_execution_is_cancelled(
    aside: Execution, verb: Callable[..., bool]
) -> None:
    assert verb(aside.pk, by="ada")

    assert statuses(aside) == {"a": "cancelled"}
    check_one_end(aside)
    with pytest.raises(Refused, match="cancelled"):
        settle(aside, "complete")


def test_a_cancelled_one_runs_again_when_its_execution_is_retried(
    aside: Execution, broker: redis.Redis
) -> None:
    control.cancel(aside.pk, by="ada")

    assert control.retry(aside.pk, by="ada")
    deliver_all(broker)

    assert now_of(aside).status == "completed"
    assert run_at(aside, "a").attempt == 2


def test_a_decision_while_its_execution_is_being_cancelled_starts_nothing(
    broker: redis.Redis,
) -> None:
    execution = group_of_three()
    claimed(execution, "b", by=worker())
    broker.delete(*QUEUES)
    lost(execution, "a")
    recovery.free_lost_steps()
    control.cancel(execution.pk, by=None)

    assert settle(execution, "run_again")

    assert places(broker) == []
    let_grace_pass(execution)
    recovery.wake_due()
    assert statuses(execution) == {"a": "cancelled", "b": "cancelled"}
    check_one_end(execution)


def test_a_decision_that_nobody_followed_up_is_made_up_for(
    aside: Execution, broker: redis.Redis
) -> None:
    # The process that recorded it died before it sent anything.
    with transaction.atomic():
        lifecycle.reset_step(aside.pk, "a", lifecycle.Request(by="ada"))
        request = lifecycle.Request(by="ada")
        lifecycle.stir(aside.pk, request, path="a", action="run_again")
    age(aside, 600)

    assert recovery.resend_lost(broker) == 1
    assert places(broker) == ["a"]


def test_a_lease_that_ended_late_in_a_paused_execution_sets_it_aside(
    broker: redis.Redis,
) -> None:
    execution, gone = once_then_b(), worker()
    claimed(execution, "a", by=gone)
    control.pause(execution.pk, by=None)
    end_lease(gone)

    recovery.free_lost_steps()

    assert statuses(execution) == {"a": "needs_attention"}
    assert now_of(execution).status == "paused"
