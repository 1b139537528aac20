"""Cancelling and terminating: one outcome, soon, and nothing starts afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event as Flag
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
import redis

from executions import control, lifecycle, recovery
from executions.control import Refused
from executions.lifecycle import Claim
from executions.models import Execution
from executions.worker.attempts import StopButton
from executions.worker.leases import Held, Worker
from tests.integration.asking import (
    after_statement,
    check_one_end,
    error_of,
    let_grace_pass,
    let_timer_fire,
    lost,
    seconds_until,
    statuses,
    take_timers,
    times_told,
)
from tests.integration.engine import (
    DONE,
    FAILED,
    at_once,
    chain,
    claimed,
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
    told,
    try_claim,
    worker,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]


def cancel(execution: Execution) -> bool:
    return control.cancel(execution.pk, by="ada", reason="Enough.")


def terminate(execution: Execution) -> bool:
    return control.terminate(execution.pk, by="ada", reason="Enough.")


def child_of(parent: Execution, **fields: Any) -> Execution:
    child = chain("a", "b", **fields)
    Execution.objects.filter(pk=child.pk).update(parent_execution=parent)
    return child


def held(claim: Claim) -> Held:
    return Held(
        claim=claim,
        deadline=monotonic() + 60,
        stop=StopButton(),
        on_overdue=lambda _: None,
        interrupts_process=False,
    )


# --- nothing runs -------------------------------------------------------------------


def _queued(execution: Execution) -> None:
    pass


def _between(execution: Execution) -> None:
    finish(execution, "a")


def _retrying(execution: Execution) -> None:
    claim = claimed(execution, "a")
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=30, timer=False)


def _retrying_far_away(execution: Execution) -> None:
    claim = claimed(execution, "a")
    assert lifecycle.schedule_retry(claim, FAILED, delay_s=3600, timer=True)


def _aside(execution: Execution) -> None:
    assert lifecycle.put_aside(lost(execution, "a").run.id)


def _paused(execution: Execution) -> None:
    finish(execution, "a")
    assert control.pause(execution.pk, by=None)


IDLE = (_queued, _between, _retrying, _retrying_far_away, _aside, _paused)


@pytest.mark.parametrize("verb", [cancel, terminate])
@pytest.mark.parametrize("state", IDLE)
def test_an_execution_of_which_nothing_runs_ends_at_once(
    state: Callable[[Execution], None],
    verb: Callable[[Execution], bool],
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b", timeout_ms=60_000)
    state(execution)

    assert verb(execution)

    now = now_of(execution)
    assert (now.status, now.wake_at) == ("cancelled", None)
    check_one_end(execution)
    before = told(execution)
    deliver_all(broker)
    assert recovery.wake_due() == 0
    assert told(execution) == before


def test_who_cancelled_and_why_is_told() -> None:
    execution = chain("a")

    cancel(execution)

    assert error_of(execution) == {
        "step_key": None,
        "type": "cancelled",
        "message": "Enough.",
        "attempt": None,
    }
    said = {"by": "ada", "reason": "Enough."}
    events = execution.events.order_by("id").values_list("type", "data")
    assert list(events)[1:] == [
        ("execution.cancel_requested", said),
        ("execution.cancelled", said),
    ]


def test_a_reason_need_not_be_given() -> None:
    execution = chain("a")

    assert control.cancel(execution.pk, by=None)

    assert error_of(execution)["message"] == "The execution was cancelled."


# --- attempts that run ----------------------------------------------------------------


def test_a_running_attempt_keeps_the_execution_open_and_nothing_else_begins(
    broker: redis.Redis,
) -> None:
    execution = launched(*group("runs", "queued", of=role()))
    claimed(execution, "runs", by=worker())
    broker.rpop("cpu")

    assert cancel(execution)
    deliver_all(broker)

    assert now_of(execution).status == "running"
    assert statuses(execution) == {"runs": "running"}
    assert try_claim(execution, "queued") is None
    assert not lifecycle.skip(new_run(execution, "queued"))
    assert not lifecycle.expire(new_run(execution, "queued"), {}, fatal=False)


def test_a_running_attempt_is_told_by_the_heartbeat_and_let_go(
    this_worker: Worker,
) -> None:
    execution = chain("a", "b")
    one = held(claimed(execution, "a", by=this_worker.identity()))
    with this_worker.holding(one):
        this_worker._beat()
        assert not one.stop.pressed

        cancel(execution)
        this_worker._beat()
        assert one.stop.pressed

    assert lifecycle.let_go(one.claim)
    assert lifecycle.finish_cancel(execution.pk)
    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


def test_an_attempt_is_let_go_only_by_who_holds_it_in_an_execution_to_cancel() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")

    assert not lifecycle.let_go(claim)
    cancel(execution)
    assert lifecycle.let_go(claim)
    assert not lifecycle.let_go(claim)
    assert times_told(execution, "step.cancelled a") == 1


def test_a_workers_attempt_that_is_told_ends_the_execution(
    broker: redis.Redis, this_worker: Worker, register: Callable[..., str]
) -> None:
    def stubborn(given: Any) -> str:
        cancel(execution)
        this_worker._beat()
        Flag().wait(10)
        return "late"

    execution = launched(step("a", register(stubborn)), step("b", role()))

    deliver_all(broker)

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"a": "cancelled"}
    assert run_at(execution, "a").output is None
    check_one_end(execution)


@pytest.mark.parametrize("rest", ["a step", "nothing", "a group"])
def test_what_an_attempt_comes_to_within_the_grace_is_recorded(
    broker: redis.Redis, register: Callable[..., str], rest: str
) -> None:
    def quick(given: Any) -> str:
        cancel(execution)
        return "done"

    same = role()
    after = {"a step": [step("b", same)], "nothing": [], "a group": group("b", of=same)}
    execution = launched(step("a", register(quick)), *after[rest])

    deliver_all(broker)
    if now_of(execution).status != "cancelled":
        let_grace_pass(execution)
        recovery.wake_due()

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"a": "completed"}
    assert run_at(execution, "a").output == "done"
    check_one_end(execution)


@pytest.mark.parametrize("retryable", [False, True])
def test_a_failure_within_the_grace_is_recorded_and_the_execution_cancelled(
    broker: redis.Redis, retryable: bool
) -> None:
    execution = launched(step("a", role("util.fail"), max_retries=2), step("b", role()))
    claim = claimed(execution, "a", by=worker())
    cancel(execution)

    if retryable:
        assert lifecycle.schedule_retry(claim, FAILED, delay_s=0, timer=False)
    else:
        assert lifecycle.settle_and_fail(claim, FAILED)
    deliver_all(broker)

    assert statuses(execution) == {"a": "cancelled" if retryable else "failed"}
    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


def test_after_the_grace_the_reconciler_ends_it_whatever_runs() -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a", by=worker())
    cancel(execution)
    assert 7 < seconds_until(execution, "wake_at") <= 8
    assert recovery.wake_due() == 0

    let_grace_pass(execution)
    assert recovery.wake_due() == 1

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"a": "cancelled"}
    assert not lifecycle.settle(claim, DONE)
    assert not lifecycle.let_go(claim)
    assert recovery.wake_due() == 0
    check_one_end(execution)


def test_a_timer_within_the_grace_does_not_put_off_the_end() -> None:
    execution = launched(*group("a", "b", of=role()))
    claimed(execution, "a", by=worker())
    cancel(execution)

    let_timer_fire(execution)
    recovery.wake_due()

    assert now_of(execution).status == "running"
    assert seconds_until(execution, "wake_at") <= 8


def test_a_reconciler_that_died_before_it_ended_one_comes_back_to_it() -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker())
    cancel(execution)
    let_grace_pass(execution)
    take_timers()

    assert 0 < seconds_until(execution, "wake_at") <= 15
    let_timer_fire(execution)
    recovery.wake_due()

    assert now_of(execution).status == "cancelled"


def test_the_deadline_of_an_execution_that_is_being_cancelled_does_not_matter() -> None:
    execution = chain("a", timeout_ms=60_000)
    claimed(execution, "a", by=worker())
    control.pause(execution.pk, by=None)
    cancel(execution)
    Execution.objects.update(deadline_at="2020-01-01T00:00:00Z")

    let_timer_fire(execution)
    recovery.wake_due()
    assert now_of(execution).status == "paused"
    let_grace_pass(execution)
    recovery.wake_due()

    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


# --- workers that are gone --------------------------------------------------------------


def test_a_dead_workers_execution_is_cancelled_as_soon_as_its_death_is_known(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    lost(execution, "a")
    cancel(execution)

    assert recovery.free_lost_steps() == 1
    recovery.wake_due()

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"a": "cancelled"}
    before = told(execution)
    deliver_all(broker)
    assert told(execution) == before
    check_one_end(execution)


def test_one_dead_worker_of_a_group_does_not_put_off_the_end() -> None:
    execution = launched(*group("lost", "runs", of=role()))
    lost(execution, "lost")
    claimed(execution, "runs", by=worker())
    cancel(execution)

    recovery.free_lost_steps()
    recovery.wake_due()

    assert statuses(execution) == {"lost": "retrying", "runs": "running"}
    assert seconds_until(execution, "wake_at") <= 8


def test_a_step_that_may_run_once_is_cancelled_with_its_dead_worker() -> None:
    execution = launched(step("a", role(), at_most_once=True))
    lost(execution, "a")
    cancel(execution)

    recovery.free_lost_steps()
    let_grace_pass(execution)
    recovery.wake_due()

    assert now_of(execution).status == "cancelled"
    assert statuses(execution) == {"a": "cancelled"}
    check_one_end(execution)


# --- again, and too late ------------------------------------------------------------------


@pytest.mark.parametrize("verb", [cancel, terminate])
def test_asking_again_changes_nothing(verb: Callable[[Execution], bool]) -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker())

    assert verb(execution)
    before, timer = told(execution), now_of(execution).wake_at
    assert not verb(execution)

    assert told(execution) == before
    assert now_of(execution).wake_at == timer


@pytest.mark.parametrize("verb", [cancel, terminate])
def test_what_has_ended_otherwise_is_not_cancelled(
    verb: Callable[[Execution], bool],
) -> None:
    execution = chain("a")
    lifecycle.settle_and_complete(claimed(execution, "a"), DONE, 1)

    with pytest.raises(Refused, match="completed already") as refused:
        verb(execution)

    assert refused.value.code == "already_finished"
    assert times_told(execution, "execution.cancel_requested") == 0


def test_terminating_does_not_wait_for_what_cancelling_waits_for() -> None:
    execution = chain("a")
    claim = claimed(execution, "a", by=worker())
    cancel(execution)

    assert terminate(execution)

    assert (now_of(execution).status, error_of(execution)["type"]) == (
        "cancelled",
        "terminated",
    )
    assert not lifecycle.settle_and_complete(claim, DONE, 1)
    assert not cancel(execution)
    check_one_end(execution)


def test_a_terminated_attempt_is_told_by_the_heartbeat(this_worker: Worker) -> None:
    execution = chain("a")
    one = held(claimed(execution, "a", by=this_worker.identity()))
    with this_worker.holding(one):
        terminate(execution)
        this_worker._beat()

    assert one.stop.pressed
    assert not lifecycle.let_go(one.claim)
    check_one_end(execution)


@pytest.mark.parametrize("verb", [control.pause, control.resume])
def test_an_execution_that_is_being_cancelled_is_neither_paused_nor_resumed(
    verb: Callable[..., bool],
) -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker())
    cancel(execution)

    with pytest.raises(Refused) as refused:
        verb(execution.pk, by=None)

    assert refused.value.code == "being_cancelled"


def test_an_execution_that_is_being_cancelled_is_not_sent_again(
    broker: redis.Redis,
) -> None:
    execution = chain("a", "b")
    claimed(execution, "a")
    cancel(execution)
    broker.delete("cpu")
    Execution.objects.update(dispatched_at="2020-01-01T00:00:00Z")

    assert recovery.resend_lost(broker) == 0
    assert messages(broker) == []


# --- at once ------------------------------------------------------------------------------


def _complete(claim: Claim) -> bool:
    return lifecycle.settle_and_complete(claim, DONE, "result")


def _fail(claim: Claim) -> bool:
    return lifecycle.settle_and_fail(claim, FAILED)


def _let_go(claim: Claim) -> bool:
    return lifecycle.let_go(claim) and lifecycle.finish_cancel(claim.run.execution_id)


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("ending", [_complete, _fail])
@pytest.mark.parametrize("verb", [cancel, terminate])
def test_in_the_instant_of_its_end_an_execution_gets_one_outcome(
    turn: int, ending: Callable[[Claim], bool], verb: Callable[[Execution], bool]
) -> None:
    execution = launched(*group("other", of=role()), step("a", role()))
    finish(execution, "other")
    lifecycle.advance(execution.pk, epoch=1, block=1)
    claim = claimed(execution, "a")

    ended, cancelled = at_once(partial(ending, claim), partial(verb, execution))

    if now_of(execution).status == "running":
        let_grace_pass(execution)
        recovery.wake_due()
    assert isinstance(ended, bool)
    own = "completed" if ending is _complete else "failed"
    status = now_of(execution).status
    assert status in (own, "cancelled")
    assert (cancelled is True) is (status == "cancelled")
    assert cancelled is True or isinstance(cancelled, Refused)
    assert (statuses(execution)["a"] == own) is ended
    check_one_end(execution)


@pytest.mark.parametrize("turn", range(4))
def test_nothing_begins_after_a_cancellation_that_meets_the_next_claim(
    turn: int,
) -> None:
    execution = chain("a", "b")
    claim = claimed(execution, "a")

    settled, cancelled = at_once(
        partial(lifecycle.settle_and_claim, claim, DONE, new_run(execution, "b")),
        partial(cancel, execution),
    )

    assert cancelled is True
    assert isinstance(settled, lifecycle.Settled)
    assert settled.recorded
    events = told(execution)
    if "step.started b" in events:
        asked = events.index("execution.cancel_requested")
        assert events.index("step.started b") < asked
        let_grace_pass(execution)
        recovery.wake_due()
    lifecycle.finish_cancel(execution.pk)
    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


@pytest.mark.parametrize("turn", range(4))
def test_two_attempts_let_go_at_once_leave_nobody_waiting(turn: int) -> None:
    execution = launched(*group("a", "b", "c", of=role()))
    claims = [claimed(execution, path, by=worker()) for path in "abc"]
    cancel(execution)

    at_once(*(partial(_let_go, claim) for claim in claims))

    assert now_of(execution).status == "cancelled"
    check_one_end(execution)


def test_many_who_cancel_at_once_cancel_once() -> None:
    execution = chain("a")
    claimed(execution, "a", by=worker())

    came = at_once(*[partial(cancel, execution)] * 5)

    assert sorted(map(str, came)) == ["False"] * 4 + ["True"]
    assert times_told(execution, "execution.cancel_requested") == 1


# --- children -----------------------------------------------------------------------------


def status_of(execution_id: UUID) -> str:
    return Execution.objects.values_list("status", flat=True).get(pk=execution_id)


@pytest.mark.parametrize("verb", [cancel, terminate])
def test_children_and_grandchildren_end_too(verb: Callable[[Execution], bool]) -> None:
    parent = chain("a")
    children = [child_of(parent), child_of(parent)]
    grandchild = child_of(children[1])
    stranger = chain("a")

    verb(parent)

    family = [parent, *children, grandchild]
    assert [status_of(e.pk) for e in family] == ["cancelled"] * 4
    assert status_of(stranger.pk) == "pending"
    for execution in family:
        check_one_end(execution)
        assert error_of(execution)["message"] == "Enough."


def test_a_child_of_which_something_runs_is_asked_to_end() -> None:
    parent = chain("a")
    child = child_of(parent)
    claimed(child, "a", by=worker())

    cancel(parent)

    assert (status_of(parent.pk), status_of(child.pk)) == ("cancelled", "running")
    let_grace_pass(child)
    recovery.wake_due()
    assert status_of(child.pk) == "cancelled"


@pytest.mark.parametrize("verb", [cancel, terminate])
def test_asking_again_reaches_the_children_that_somebody_did_not_get_to(
    verb: Callable[[Execution], bool],
) -> None:
    parent = chain("a")
    verb(parent)
    child = child_of(parent)

    assert not verb(parent)

    assert status_of(child.pk) == "cancelled"


@pytest.mark.parametrize("verb", [cancel, terminate])
def test_a_child_that_just_completed_keeps_the_others_from_nothing(
    monkeypatch: pytest.MonkeyPatch, verb: Callable[[Execution], bool]
) -> None:
    parent = chain("a")
    quick, slow = child_of(parent), child_of(parent)

    def complete() -> None:
        finish(quick, "a")
        lifecycle.settle_and_complete(claimed(quick, "b"), DONE, 1)

    after_statement(monkeypatch, control, "parent_execution_id", complete)

    assert verb(parent)

    assert status_of(quick.pk) == "completed"
    assert status_of(slow.pk) == "cancelled"
