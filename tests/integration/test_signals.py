"""Waits for events: whoever comes first, each event is taken once and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone

from executions import (
    control,
    lifecycle,
    pinned,
    recovery,
    resumption,
    retention,
    signals,
)
from executions.control import Refused
from executions.database import fetch
from executions.launch import IdempotencyConflict, launch
from executions.management.commands.reconcile import HandingOut
from executions.models import Delivery, Execution, Signal, StepRun
from executions.native import Upshot
from executions.retention import Swept
from executions.runs import run_of
from executions.signals import Receipt
from roles.problems import InvalidDocument
from tests.integration.engine import (
    at_once,
    deliver_all,
    now_of,
    orchestration,
    role,
    run_at,
    step,
    told,
    until,
    waiting_for_locks,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("this_worker"),
]

HOUR = timedelta(hours=1)
PAID = {"order": 17}


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


def wait(key: str = "w", **config: Any) -> dict[str, Any]:
    fields = {name: config.pop(name) for name in FIELDS & config.keys()}
    settings = {"event": "paid", **config}
    return {"key": key, "step_type": "wait", "config": settings, **fields}


FIELDS = {"condition", "on_error", "output_mapping", "parallel_group"}
MATCH = {"field": "event.payload.order", "operator": "==", "value": 17}


def started(broker: redis.Redis, *steps: Any, by: User | None = None) -> Execution:
    """Start an execution, and do what can be done of it."""
    execution = launch(orchestration(*(steps or (wait(),))), {"limit": 5}, by=by)
    deliver_all(broker)
    return now_of(execution)


def statuses(*executions: Execution) -> list[str]:
    return [now_of(each).status for each in executions]


def error_of(execution: Execution) -> dict[str, Any]:
    return now_of(execution).error or {}


def output_of(execution: Execution, path: str = "w") -> Any:
    return run_at(execution, path).output


def let_time_pass(execution: Execution, path: str = "w") -> None:
    """Let the time of a step that waits be over."""
    past = Now() - timedelta(seconds=1)
    StepRun.objects.filter(execution=execution, path=path).update(retry_at=past)
    Execution.objects.filter(pk=execution.pk).update(wake_at=past)


def reconcile() -> None:
    Execution.objects.filter(wake_at__isnull=False).update(wake_at=Now())
    recovery.wake_due()


# --- who comes first --------------------------------------------------------------------


def test_a_step_waits_without_a_worker_or_a_message(broker: redis.Redis) -> None:
    execution = started(broker)
    run = run_at(execution, "w")
    assert (execution.status, run.status, run.awaits) == ("waiting", "waiting", "paid")
    assert run.worker is None
    assert run.retry_at is None
    assert deliver_all(broker) == []


def test_an_event_ends_the_wait_and_is_its_output(broker: redis.Redis) -> None:
    execution = started(broker)
    receipt = signals.post("paid", PAID)
    assert (receipt.name, receipt.delivered, receipt.is_replay) == ("paid", 1, False)
    assert statuses(execution) == ["completed"]
    assert output_of(execution) == PAID
    assert told(execution)[-2:] == ["step.completed w", "execution.completed"]
    assert Delivery.objects.get().path == "w"
    assert Signal.objects.get().handed_out_at is not None


def test_an_event_that_came_before_the_wait_is_not_lost(broker: redis.Redis) -> None:
    execution = launch(orchestration(wait()), {})
    assert signals.post("paid", PAID).delivered == 0
    deliver_all(broker)
    assert statuses(execution) == ["completed"]
    assert output_of(execution) == PAID


def test_what_came_before_the_execution_is_not_for_it(broker: redis.Redis) -> None:
    signals.post("paid", PAID)
    assert statuses(started(broker)) == ["waiting"]


def test_another_event_is_none(broker: redis.Redis) -> None:
    execution = started(broker)
    assert signals.post("Paid").delivered == 0
    assert statuses(execution) == ["waiting"]


def test_only_what_comes_during_the_wait(broker: redis.Redis) -> None:
    execution = launch(orchestration(wait(since="wait")), {})
    signals.post("paid", "before")
    deliver_all(broker)
    assert statuses(execution) == ["waiting"]
    assert list(run_at(execution, "w").state or ()) == ["since"]
    signals.post("paid", "during")
    assert output_of(execution) == "during"


def test_null_is_a_payload(broker: redis.Redis) -> None:
    execution = started(broker)
    signals.post("paid")
    assert statuses(execution) == ["completed"]
    assert output_of(execution) is None


def test_the_name_may_be_a_template(broker: redis.Redis) -> None:
    execution = started(broker, wait(event="paid.{{ context.input.limit }}"))
    signals.post("paid.5", PAID)
    assert output_of(execution) == PAID


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"event": "{{ context.input.limit }}"}, "bad_event"),
        ({"event": "{{ context.input }}"}, "bad_event"),
        ({"event": "{{ context.input.none }}"}, "template_error"),
        ({"timeout_ms": "{{ context.input }}"}, "bad_timeout"),
        ({"timeout_ms": "{{ context.input.limit * -1 }}"}, "bad_timeout"),
        ({"timeout_ms": "{{ context.input.limit * 10000000000000 }}"}, "bad_timeout"),
    ],
)
def test_a_wait_that_cannot_begin_fails(
    broker: redis.Redis, config: dict[str, Any], kind: str
) -> None:
    execution = started(broker, wait(**config))
    assert execution.status == "failed"
    assert error_of(execution)["type"] == kind


def test_what_follows_is_sent(broker: redis.Redis) -> None:
    execution = started(broker, wait(), step("after", role(), input_mapping=PAID))
    signals.post("paid")
    assert now_of(execution).status == "running"
    assert deliver_all(broker) == [("cpu", "after")]
    assert statuses(execution) == ["completed"]


# --- which events -----------------------------------------------------------------------


def test_events_that_do_not_match_are_for_others(broker: redis.Redis) -> None:
    execution = started(broker, wait(match=MATCH))
    for payload in ({"order": 16}, {}, None, [1], "17"):
        assert signals.post("paid", payload).delivered == 0
    assert signals.post("paid", PAID | {"n": 1}).delivered == 1
    assert output_of(execution) == PAID | {"n": 1}


def test_a_match_sees_the_event_and_the_context(broker: redis.Redis) -> None:
    parts = [
        {
            "field": "event.payload.n",
            "operator": "<",
            "value": "{{ context.input.limit }}",
        },
        {"field": "event.name", "operator": "==", "value": "paid"},
    ]
    execution = started(broker, wait(match={"all": parts}))
    assert [signals.post("paid", {"n": n}).delivered for n in (6, 5, 4)] == [0, 0, 1]
    assert output_of(execution) == {"n": 4}


def test_an_event_that_lacks_what_the_match_compares_with_is_for_others(
    broker: redis.Redis,
) -> None:
    value = "{{ event.payload.limit }}"
    match = {"field": "context.input.limit", "operator": "<", "value": value}
    execution = started(broker, wait(match=match))
    assert [signals.post("paid", p).delivered for p in ({}, {"limit": 9})] == [0, 1]
    assert statuses(execution) == ["completed"]


def test_a_match_that_never_resolves_fails_the_step(broker: redis.Redis) -> None:
    match = {"field": "event.name", "operator": "==", "value": "{{ context.input.no }}"}
    execution = started(broker, wait(match=match))
    signals.post("paid")
    assert error_of(execution)["type"] == "template_error"
    assert "In match of step 'w'" in error_of(execution)["message"]
    assert not Delivery.objects.exists()


def test_the_first_that_matches_is_found_behind_many(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle.signals, "_PAGE", 3)
    execution = launch(orchestration(wait(match=MATCH)), {})
    for number in (*range(8), 17, 17):
        signals.post("paid", {"order": number, "at": number})
    deliver_all(broker)
    assert output_of(execution) == {"order": 17, "at": 17}


def test_events_are_taken_in_the_order_in_which_they_came(broker: redis.Redis) -> None:
    waits = [wait(key) for key in "abc"]
    execution = launch(orchestration(*waits), {})
    for number in (1, 2, 3):
        signals.post("paid", number)
    deliver_all(broker)
    assert [output_of(execution, key) for key in "abc"] == [1, 2, 3]


def test_an_event_that_was_not_handed_out_still_comes_first(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = started(broker)
    with monkeypatch.context() as patch:
        patch.setattr(signals, "_hand_out_first", lambda posted: None)
        first = signals.post("paid", 1)
    second = signals.post("paid", 2)
    assert output_of(execution) == 1
    assert second.delivered == 0
    assert Delivery.objects.get().signal_id == first.id


def test_an_execution_takes_an_event_once(broker: redis.Redis) -> None:
    execution = started(broker, wait("a"), wait("b"))
    assert signals.post("paid", 1).delivered == 1
    assert run_at(execution, "b").status == "waiting"
    signals.post("paid", 2)
    assert [output_of(execution, key) for key in "ab"] == [1, 2]


def test_of_two_steps_at_once_the_first_takes_it(broker: redis.Redis) -> None:
    members = [wait(key, parallel_group="g") for key in "ab"]
    execution = started(broker, *members)
    assert execution.status == "waiting"
    assert signals.post("paid", 1).delivered == 1
    assert run_at(execution, "b").status == "waiting"
    assert statuses(execution) == ["waiting"]
    signals.post("paid", 2)
    assert [output_of(execution, key) for key in "ab"] == [1, 2]
    assert statuses(execution) == ["completed"]


def test_a_loop_takes_one_in_each_turn(broker: redis.Redis) -> None:
    body = [wait(output_mapping={"got": "{{ output }}"})]
    config = {"max_iterations": 160, "count": 160, "collect": "all"}
    loop = {"key": "l", "step_type": "loop", "config": config, "steps": body}
    execution = launch(orchestration(loop), {})
    for number in range(150):  # more than may lead on to one another in one go
        signals.post("paid", number)
    deliver_all(broker)
    assert statuses(execution) == ["waiting"]
    for number in range(150, 160):
        assert signals.post("paid", number).delivered == 1
    assert output_of(execution, "l") == list(range(160))
    assert statuses(execution) == ["completed"]


# --- whose events -----------------------------------------------------------------------


def test_events_are_for_the_executions_of_their_sender(
    broker: redis.Redis, ada: User, bob: User
) -> None:
    of_ada, of_bob, of_nobody = (started(broker, by=who) for who in (ada, bob, None))
    assert signals.post("paid", by=ada).delivered == 1
    assert statuses(of_ada, of_bob, of_nobody) == ["completed", "waiting", "waiting"]
    assert signals.post("paid").delivered == 1
    assert statuses(of_bob, of_nobody) == ["waiting", "completed"]


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
@pytest.mark.parametrize("early", [True, False])
def test_what_staff_posts_is_for_everybody(
    broker: redis.Redis, ada: User, bob: User, *, flag: str, early: bool
) -> None:
    User.objects.filter(pk=bob.pk).update(**{flag: True})
    execution = launch(orchestration(wait()), {}, by=ada)
    if not early:
        deliver_all(broker)
    signals.post("paid", PAID, by=bob)
    deliver_all(broker)
    assert output_of(execution) == PAID


def test_an_event_for_one_execution_is_for_no_other(
    broker: redis.Redis, ada: User, bob: User
) -> None:
    one, other = started(broker, by=ada), started(broker, by=ada)
    assert signals.send(one.pk, "paid", PAID, by=bob).delivered == 1
    assert statuses(one, other) == ["completed", "waiting"]


def test_an_event_for_one_execution_waits_for_it(broker: redis.Redis) -> None:
    execution = launch(orchestration(wait()), {})
    assert signals.send(execution.pk, "paid", PAID).delivered == 0
    deliver_all(broker)
    assert output_of(execution) == PAID


def test_one_that_has_ended_takes_no_events(broker: redis.Redis) -> None:
    execution = started(broker)
    control.terminate(execution.pk, by=None)
    with pytest.raises(Refused) as refused:
        signals.send(execution.pk, "paid")
    assert refused.value.code == "already_finished"
    assert not Signal.objects.exists()


# --- what is posted ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "payload", "pointer", "code"),
    [
        ("", None, "/name", "wrong_length"),
        ("x" * 201, None, "/name", "wrong_length"),
        ("a\0b", None, "/name", "nul_character"),
        ("paid", {"a": ["\0"]}, "/payload/a/0", "nul_character"),
        ("paid", float("nan"), "/payload", "not_a_number"),
        ("paid", "x" * 1_000_000, "/payload", "too_large"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    settings: Any, name: str, payload: Any, pointer: str, code: str
) -> None:
    settings.CORE_MAX_OUTPUT_BYTES = 500_000
    with pytest.raises(InvalidDocument) as invalid:
        signals.post(name, payload)
    assert [(p.pointer, p.code) for p in invalid.value.problems] == [(pointer, code)]
    assert not Signal.objects.exists()


def test_a_key_makes_a_repetition_known(broker: redis.Redis, ada: User) -> None:
    started(broker, by=ada)
    first = signals.post("paid", PAID, by=ada, idempotency_key="k")
    second = started(broker, by=ada)
    again = signals.post("paid", PAID, by=ada, idempotency_key="k")
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert (again.delivered, again.is_replay) == (1, True)
    assert statuses(second) == ["waiting"]
    assert Signal.objects.count() == 1


def test_a_key_of_another_event_is_refused(
    broker: redis.Redis, ada: User, bob: User
) -> None:
    execution = started(broker, by=ada)
    signals.post("paid", PAID, by=ada, idempotency_key="k")
    for name, payload in (("paid", {}), ("unpaid", PAID)):
        with pytest.raises(IdempotencyConflict):
            signals.post(name, payload, by=ada, idempotency_key="k")
    second = started(broker, by=ada)
    with pytest.raises(IdempotencyConflict):
        signals.send(second.pk, "paid", PAID, by=ada, idempotency_key="k")
    signals.post("paid", {}, by=bob, idempotency_key="k")
    assert output_of(execution) == PAID


def test_one_of_equal_requests_at_once_posts(broker: redis.Redis, ada: User) -> None:
    body = {"key": "l", "step_type": "loop", "steps": [wait()]}
    started(broker, {**body, "config": {"max_iterations": 9, "count": 9}}, by=ada)
    came = at_once(
        *[lambda: signals.post("paid", PAID, by=ada, idempotency_key="k")] * 4
    )
    receipts = [each for each in came if isinstance(each, Receipt)]
    assert len(receipts) == 4
    assert len({each.id for each in receipts}) == 1
    assert sorted(each.is_replay for each in receipts) == [False, True, True, True]
    assert Delivery.objects.count() == 1


# --- time limits ------------------------------------------------------------------------


def test_a_wait_that_takes_too_long_fails(broker: redis.Redis) -> None:
    execution = started(broker, wait(timeout_ms=3_600_000))
    ends_at = run_at(execution, "w").retry_at
    assert ends_at is not None
    assert HOUR - timedelta(minutes=1) < ends_at - timezone.now() <= HOUR
    recovery.wake_due()
    assert statuses(execution) == ["waiting"]
    let_time_pass(execution)
    recovery.wake_due()
    ended = now_of(execution)
    assert ended.status == "failed"
    assert error_of(ended)["type"] == "timed_out"
    assert run_at(execution, "w").status == "timed_out"
    assert signals.post("paid").delivered == 0


def test_a_wait_that_takes_too_long_goes_on_without(broker: redis.Redis) -> None:
    execution = started(broker, wait(timeout_ms=1000, on_timeout="continue"))
    let_time_pass(execution)
    recovery.wake_due()
    assert statuses(execution) == ["completed"]
    assert output_of(execution) is None


def test_on_error_decides_what_a_timeout_means(broker: redis.Redis) -> None:
    execution = started(broker, wait(timeout_ms=1000, on_error="continue"))
    let_time_pass(execution)
    recovery.wake_due()
    assert statuses(execution) == ["completed"]
    assert run_at(execution, "w").status == "timed_out"


def test_no_time_at_all_is_enough_for_what_is_there(broker: redis.Redis) -> None:
    execution = launch(orchestration(wait(timeout_ms=0)), {})
    signals.post("paid", PAID)
    deliver_all(broker)
    assert output_of(execution) == PAID


# --- steering ---------------------------------------------------------------------------


def test_what_is_paused_takes_the_event_when_it_goes_on(broker: redis.Redis) -> None:
    execution = started(broker)
    control.pause(execution.pk, by=None)
    assert [signals.post("paid", n).delivered for n in (1, 2)] == [0, 0]
    assert statuses(execution) == ["paused"]
    control.resume(execution.pk, by=None)
    assert statuses(execution) == ["completed"]
    assert output_of(execution) == 1


def test_what_goes_on_waits_again(broker: redis.Redis) -> None:
    execution = started(broker, wait(timeout_ms=3_600_000))
    control.pause(execution.pk, by=None)
    control.resume(execution.pk, by=None)
    assert statuses(execution) == ["waiting"]
    assert now_of(execution).wake_at is not None
    let_time_pass(execution)
    recovery.wake_due()
    assert statuses(execution) == ["failed"]


def test_what_is_cancelled_takes_nothing(broker: redis.Redis) -> None:
    execution = started(broker)
    control.cancel(execution.pk, by=None)
    assert statuses(execution) == ["cancelled"]
    assert run_at(execution, "w").status == "cancelled"
    assert signals.post("paid").delivered == 0


def test_a_retry_after_a_timeout_waits_anew(broker: redis.Redis) -> None:
    execution = started(broker, wait(timeout_ms=1000, since="wait"))
    let_time_pass(execution)
    recovery.wake_due()
    signals.post("paid", "too late")
    control.retry(execution.pk, by=None)
    deliver_all(broker)
    assert statuses(execution) == ["waiting"]
    signals.post("paid", PAID)
    assert output_of(execution) == PAID


# --- what a death in between leaves -----------------------------------------------------


def test_a_wait_that_never_looked_is_looked_at_again(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = launch(orchestration(wait()), {})
    signals.post("paid", PAID)
    with monkeypatch.context() as patch:
        patch.setattr("executions.native.events.look", lambda *at: Upshot())
        deliver_all(broker)
    due = now_of(execution).wake_at
    assert due is not None
    assert due - timezone.now() < timedelta(seconds=6)
    assert statuses(execution) == ["waiting"]
    reconcile()
    assert output_of(execution) == PAID
    assert statuses(execution) == ["completed"]


def test_an_execution_that_is_sent_again_looks_again(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = launch(orchestration(wait()), {})
    signals.post("paid", PAID)
    with monkeypatch.context() as patch:
        patch.setattr("executions.native.events.look", lambda *at: Upshot())
        deliver_all(broker)
    resumption.redispatch(execution.pk)
    deliver_all(broker)
    assert output_of(execution) == PAID
    assert statuses(execution) == ["completed"]


def test_an_event_whose_sender_died_is_handed_out(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = [started(broker) for _ in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(signals, "_hand_out_first", lambda posted: None)
        signals.post("paid", PAID)
    assert recovery.hand_out_signals() == 0  # its sender may be at it
    Signal.objects.update(created_at=Now() - timedelta(seconds=2))
    Execution.objects.update(created_at=Now() - HOUR)
    assert recovery.signals_are_left()
    assert recovery.hand_out_signals() == 1
    assert statuses(*executions) == ["completed"] * 3
    assert not recovery.signals_are_left()


def test_very_many_are_told_by_the_reconciler(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle.signals, "LISTENERS_AT_ONCE", 2)
    monkeypatch.setattr(lifecycle, "LISTENERS_AT_ONCE", 2)
    deaf = [started(broker, wait(match=MATCH)) for _ in range(5)]
    executions = [started(broker) for _ in range(5)]
    assert signals.post("paid", 1).delivered == 0
    Signal.objects.update(created_at=Now() - timedelta(seconds=2))
    Execution.objects.update(created_at=Now() - HOUR)
    assert recovery.hand_out_signals() == 1
    assert statuses(*executions) == ["completed"] * 5
    assert statuses(*deaf) == ["waiting"] * 5


def test_a_reconciler_hands_out_beside_its_rounds(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = started(broker)
    with monkeypatch.context() as patch:
        patch.setattr(signals, "_hand_out_first", lambda posted: None)
        signals.post("paid", PAID)
    Signal.objects.update(created_at=Now() - timedelta(seconds=2))
    Execution.objects.update(created_at=Now() - HOUR)
    handing_out = HandingOut()
    handing_out.tick()
    until(lambda: not recovery.signals_are_left(), "handing out")
    assert statuses(execution) == ["completed"]


def test_one_that_cannot_be_told_keeps_nobody_else_waiting(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = started(broker), started(broker)
    look_at = resumption.look_at

    def fail(execution_id: Any, *at: Any, **news: Any) -> bool:
        if execution_id == bad.pk:
            raise ValueError("a fault")
        return look_at(execution_id, *at, **news)

    monkeypatch.setattr(resumption, "look_at", fail)
    assert signals.post("paid").delivered == 1
    assert statuses(bad, good) == ["waiting", "completed"]


def test_what_was_settled_and_not_led_on_is_sent_by_the_reconciler(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = started(broker, wait(), step("after", role()))
    with monkeypatch.context() as patch:
        patch.setattr("executions.passage.follow", lambda *upshot: None)
        signals.post("paid", PAID)
    assert run_at(execution, "w").status == "completed"
    assert statuses(execution) == ["running"]
    resumption.go_on(execution.pk)
    assert deliver_all(broker)
    assert statuses(execution) == ["completed"]


# --- races ------------------------------------------------------------------------------


def test_two_senders_at_once_give_two_steps_one_each(broker: redis.Redis) -> None:
    execution = started(broker, wait("a"), wait("b"))
    at_once(lambda: signals.post("paid", 1), lambda: signals.post("paid", 2))
    resumption.go_on(execution.pk)
    assert sorted(output_of(execution, key) for key in "ab") == [1, 2]
    assert Delivery.objects.count() == 2
    assert statuses(execution) == ["completed"]


def test_two_senders_at_once_end_one_wait_once(broker: redis.Redis) -> None:
    execution = started(broker)
    at_once(*[lambda: signals.post("paid", PAID)] * 4)
    assert Delivery.objects.count() == 1
    assert told(execution).count("step.completed w") == 1
    assert statuses(execution) == ["completed"]


@pytest.mark.parametrize("_time", range(5))
def test_a_sender_and_a_beginning_wait_do_not_miss_each_other(
    broker: redis.Redis, _time: int
) -> None:
    execution = launch(orchestration(wait()), {})
    at_once(lambda: signals.post("paid", PAID), lambda: deliver_all(broker))
    assert statuses(execution) == ["completed"]
    assert output_of(execution) == PAID
    assert Delivery.objects.count() == 1


def test_an_event_that_comes_while_the_wait_is_being_written_is_seen(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender finds nobody yet; the step's own look finds the event."""
    execution = launch(orchestration(wait()), {})

    def posting(sql: Any, params: Any) -> Any:
        if params.get("awaits"):
            (receipt,) = at_once(lambda: signals.post("paid", PAID))
            assert isinstance(receipt, Receipt)
            assert receipt.delivered == 0
        return fetch(sql, params)

    monkeypatch.setattr("executions.lifecycle.waits.fetch", posting)
    deliver_all(broker)
    assert output_of(execution) == PAID


@pytest.mark.parametrize("_time", range(5))
def test_a_sender_and_the_timeout_come_to_one_outcome(
    broker: redis.Redis, _time: int
) -> None:
    execution = started(broker, wait(timeout_ms=1000, on_timeout="continue"))
    let_time_pass(execution)
    at_once(lambda: signals.post("paid", PAID), recovery.wake_due)
    delivered = Delivery.objects.count()
    assert output_of(execution) == (PAID if delivered else None)
    assert told(execution).count("step.completed w") == 1
    assert statuses(execution) == ["completed"]


@pytest.mark.parametrize("verb", [control.cancel, control.terminate])
def test_a_sender_and_a_cancellation_come_to_one_outcome(
    broker: redis.Redis, verb: Callable[..., Any]
) -> None:
    execution = started(broker, wait(), step("after", role()))
    at_once(lambda: signals.post("paid", PAID), lambda: verb(execution.pk, by=None))
    run = run_at(execution, "w")
    assert run.status == ("completed" if Delivery.objects.exists() else "cancelled")
    assert statuses(execution) == ["cancelled"]


def test_a_sender_and_a_pause_lose_nothing(broker: redis.Redis) -> None:
    execution = started(broker)
    at_once(
        lambda: signals.post("paid", PAID),
        lambda: control.pause(execution.pk, by=None),
    )
    if statuses(execution) == ["paused"]:
        control.resume(execution.pk, by=None)
    assert statuses(execution) == ["completed"]
    assert output_of(execution) == PAID


def test_who_holds_the_execution_first_ends_the_wait(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that comes while the timeout is being recorded finds nobody waiting."""
    execution = started(broker, wait(timeout_ms=1000))
    let_time_pass(execution)
    hold, senders = lifecycle.hold, ThreadPoolExecutor(1)
    posts: list[Future[Any]] = []

    def holding(*args: Any, **fields: Any) -> Any:
        held = hold(*args, **fields)
        if not posts:
            posts.append(senders.submit(at_once, lambda: signals.post("paid", PAID)))
            waiting_for_locks(1)
        return held

    monkeypatch.setattr(lifecycle, "hold", holding)
    recovery.wake_due()
    (receipt,) = posts[0].result()
    assert receipt.delivered == 0
    assert error_of(execution)["type"] == "timed_out"


def test_an_execution_that_is_sent_again_meanwhile_still_takes_it(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = started(broker)
    real = resumption.address_of
    moved: list[bool] = []

    def address_of(execution_id: Any) -> Any:
        address = real(execution_id)
        if not moved:
            moved.append(True)
            Execution.objects.filter(pk=execution_id).update(epoch=address.epoch + 1)
        return address

    monkeypatch.setattr(resumption, "address_of", address_of)
    assert signals.post("paid", PAID).delivered == 1
    assert output_of(execution) == PAID


# --- retention --------------------------------------------------------------------------


def test_old_events_leave_and_young_ones_stay(
    broker: redis.Redis, settings: Any
) -> None:
    settings.CORE_RETENTION_DAYS = 30
    execution = started(broker)
    young = signals.post("unpaid")
    long_ago = timezone.now() - timedelta(days=31)
    old_id = retention.first_id(long_ago)
    Signal.objects.create(id=old_id, name="paid", created_at=long_ago)
    Delivery.objects.create(signal_id=old_id, execution=execution, path="w")
    assert list(retention.sweep()) == [Swept(signals=1)]
    assert [each.pk for each in Signal.objects.all()] == [young.id]
    assert not Delivery.objects.exists()


def test_an_event_that_left_is_not_taken(broker: redis.Redis) -> None:
    execution = started(broker)
    address = resumption.address_of(execution.pk)
    planned = pinned.plan_of(address).by_path["w"]
    assert not lifecycle.take_signal(run_of(address, planned), uuid4())
