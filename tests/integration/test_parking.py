"""Steps that are parked: for a provider, for money, or for a person's answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User

from executions import control, lifecycle, recovery
from executions.database import one_transaction
from executions.lifecycle.locking import lock_execution
from executions.models import Approval, Execution, StepRun
from executions.record import detail
from roles.runners.hosting import Parked, ParkedKind, Question
from tests.integration.approving import asked, let_expire, round_of_reconciler, say
from tests.integration.asking import (
    check_one_end,
    let_pass,
    outputs,
    seconds_until,
    statuses,
)
from tests.integration.engine import (
    chain,
    claimed,
    deliver_all,
    launched,
    new_run,
    now_of,
    role,
    run_at,
    step,
    told,
)

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "this_worker"),
]

CALLS = [{"call_id": "c1", "tool": "pay", "arguments": {"amount": 7}}]


class Scripted:
    """What a role's attempts come to, one after the other: to be parked, or a value."""

    def __init__(self, register: Callable[[Callable[..., Any]], str]) -> None:
        self.acts: list[Any] = []
        self.attempts: list[int] = []

        async def act(_: Any, context: Any) -> Any:
            self.attempts.append(context.attempt)
            ends = self.acts.pop(0) if self.acts else "done"
            if isinstance(ends, Exception):
                raise ends
            return ends

        self.role = register(act)


@pytest.fixture
def script(register: Callable[[Callable[..., Any]], str]) -> Scripted:
    return Scripted(register)


def parked(
    kind: ParkedKind = "provider", after_s: float | None = 30.0, **more: Any
) -> Parked:
    return Parked("openai is overloaded", kind=kind, after_s=after_s, **more)


def asking(**more: Any) -> Parked:
    question = Question(prompt="Pay 7?", calls=CALLS, **more)
    return Parked("a person", kind="approval", question=question)


def begun(script: Scripted, *acts: Any, **fields: Any) -> Execution:
    """Start an execution of one step, and another behind it, and do what is to do."""
    script.acts = list(acts)
    execution = launched(step("a", script.role, **fields), step("then", role()))
    do()
    return execution


def do() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        deliver_all(broker)


def go_on(execution: Execution) -> None:
    round_of_reconciler(execution)
    do()


# --- while it is parked ---------------------------------------------------------------


def test_a_parked_step_takes_no_worker_and_its_execution_waits(
    script: Scripted,
) -> None:
    execution = begun(script, parked())

    run = run_at(execution, "a")
    assert (run.status, run.worker, run.attempt_deadline) == ("waiting", None, None)
    assert run.state == {"parked": "provider", "detail": "openai is overloaded"}
    assert now_of(execution).status == "waiting"
    assert told(execution)[-1] == "step.waiting a"


def test_it_is_looked_at_when_its_time_has_come(script: Scripted) -> None:
    execution = begun(script, parked(after_s=30.0))

    assert seconds_until(execution, "retry_at", "a") == pytest.approx(30, abs=3)
    assert seconds_until(execution, "wake_at") == pytest.approx(30, abs=3)


def test_before_its_time_the_reconciler_leaves_it_alone(script: Scripted) -> None:
    execution = begun(script, parked())

    go_on(execution)

    assert script.attempts == [1]
    assert statuses(execution) == {"a": "waiting"}


def test_it_says_what_it_waits_for(script: Scripted) -> None:
    execution = begun(script, parked())

    shown = detail(now_of(execution))
    assert shown["waiting_on"]["kind"] == "provider"
    assert "openai is overloaded" in shown["waiting_on"]["detail"]
    assert shown["waiting_on"]["expected"] == run_at(execution, "a").retry_at
    assert shown["step_logs"][0]["waiting_on"]["kind"] == "provider"


def test_one_that_waits_for_money_says_who_can_help(script: Scripted) -> None:
    execution = begun(script, parked("budget", None, budget="b-1"))

    waiting_on = detail(now_of(execution))["waiting_on"]
    assert waiting_on["kind"] == "budget"
    assert "budget" in waiting_on["help"]
    run = run_at(execution, "a")
    assert (run.state or {})["budget"] == "b-1"
    assert run.retry_at is None


# --- when it goes on ------------------------------------------------------------------


def test_it_begins_again_and_no_retry_was_used_up(script: Scripted) -> None:
    execution = begun(script, parked(), parked(), "ok", max_retries=0)

    for _ in range(2):
        let_pass(execution, 31)
        go_on(execution)

    assert script.attempts == [1, 2, 3]
    assert now_of(execution).status == "completed"
    assert outputs(execution)["a"] == "ok"
    assert run_at(execution, "a").spent == 2
    check_one_end(execution)


def test_failures_after_a_wait_are_counted_as_ever(script: Scripted) -> None:
    broken = ValueError("no")
    execution = begun(script, parked(), broken, broken, max_retries=1, retry_delay_ms=0)

    let_pass(execution, 31)
    go_on(execution)
    do()

    assert script.attempts == [1, 2, 3]
    assert now_of(execution).status == "failed"
    check_one_end(execution)


def test_others_of_its_group_go_on_and_the_join_waits(script: Scripted) -> None:
    script.acts = [parked(), "late"]
    members = [
        step("a", script.role, parallel_group="g"),
        step("b", role(), parallel_group="g"),
    ]
    execution = launched(*members, step("then", role()))
    do()

    assert statuses(execution) == {"a": "waiting", "b": "completed"}
    assert now_of(execution).status == "waiting"

    let_pass(execution, 31)
    go_on(execution)
    assert now_of(execution).status == "completed"
    assert list(statuses(execution).values()) == ["completed"] * 3
    check_one_end(execution)


def test_in_a_body_it_keeps_its_frame_open(script: Scripted) -> None:
    script.acts = [parked(), 1, 2]
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": "{{ context.input.xs }}"},
        "steps": [step("a", script.role)],
    }
    execution = launched(each, given={"xs": [1, 2]})
    do()
    assert statuses(execution)["each"] == "waiting"
    assert sorted(script.attempts) == [1, 1]

    let_pass(execution, 31)
    go_on(execution)

    assert now_of(execution).status == "completed"
    assert sorted(script.attempts) == [1, 1, 2]


def test_its_total_time_ends_it_while_it_is_parked(script: Scripted) -> None:
    execution = begun(script, parked(after_s=None), total_timeout_ms=5_000)

    assert seconds_until(execution, "retry_at", "a") == pytest.approx(5, abs=2)
    let_pass(execution, 6)
    go_on(execution)

    assert statuses(execution)["a"] == "timed_out"
    assert now_of(execution).status == "failed"


def test_nobody_can_free_it_twice(script: Scripted) -> None:
    execution = begun(script, parked())
    run = new_run(execution, "a")

    with one_transaction():
        lock_execution(execution.pk)
        freed = [lifecycle.unpark(run, more={}) for _ in range(2)]

    assert freed == [True, False]


def test_an_attempt_that_is_not_ours_any_more_parks_nothing() -> None:
    execution = chain("a")
    claim = claimed(execution, "a")
    StepRun.objects.filter(pk=claim.run.id).update(fence=claim.fence + 1)

    done = lifecycle.park(
        claim, state={"parked": "provider"}, after_s=1, question=None, among=range(1)
    )

    assert done is False
    assert run_at(execution, "a").status == "running"


def test_a_message_of_a_parked_step_starts_nothing(
    script: Scripted, broker: redis.Redis
) -> None:
    script.acts = [parked()]
    execution = launched(step("a", script.role))

    deliver_all(broker, times=3)

    assert script.attempts == [1]
    assert statuses(execution) == {"a": "waiting"}


# --- steered ----------------------------------------------------------------------


def test_cancelling_ends_it_at_once(script: Scripted) -> None:
    execution = begun(script, parked(), "never")

    control.cancel(execution.pk, by=None)
    let_pass(execution, 31)
    go_on(execution)

    assert now_of(execution).status == "cancelled"
    assert script.attempts == [1]
    check_one_end(execution)


def test_a_paused_execution_leaves_it_until_it_is_resumed(script: Scripted) -> None:
    execution = begun(script, parked(), "ok")
    control.pause(execution.pk, by=None)
    let_pass(execution, 31)
    go_on(execution)
    assert script.attempts == [1]

    control.resume(execution.pk, by=None)
    go_on(execution)

    assert now_of(execution).status == "completed"


# --- asking a person ------------------------------------------------------------------


def test_a_question_stands_among_the_approvals(script: Scripted) -> None:
    execution = begun(script, asking(users=["ann"]))

    approval = asked(execution, "a")
    assert approval.prompt == 'Pay 7?\n\npay {"amount": 7}'
    assert approval.users == ["ann"]
    shown = detail(now_of(execution))
    assert shown["waiting_on"]["kind"] == "approval"
    assert shown["step_logs"][0]["approval_id"] == str(approval.pk)


@pytest.mark.parametrize(
    ("decision", "decided"), [("approved", True), ("rejected", False)]
)
def test_the_answer_is_kept_for_the_next_attempt(
    script: Scripted, decision: str, decided: bool
) -> None:
    execution = begun(script, asking(), "ok")

    say(asked(execution, "a"), None, decision)
    go_on(execution)

    run = run_at(execution, "a")
    assert run.state is not None
    assert run.state["decisions"] == {"c1": decided}
    assert now_of(execution).status == "completed"
    assert script.attempts == [1, 2]


def test_answers_of_several_waits_add_up(script: Scripted) -> None:
    second = Parked(
        "a person",
        kind="approval",
        question=Question(prompt="And?", calls=[{**CALLS[0], "call_id": "c2"}]),
    )
    execution = begun(script, asking(), parked(), second, "ok")

    say(asked(execution, "a"), None)
    go_on(execution)
    let_pass(execution, 31)
    go_on(execution)
    say(asked(execution, "a"), None, "rejected")
    go_on(execution)

    state = run_at(execution, "a").state
    assert state is not None
    assert state["decisions"] == {"c1": True, "c2": False}
    assert now_of(execution).status == "completed"


def test_time_that_is_over_counts_as_a_refusal(script: Scripted) -> None:
    execution = begun(script, asking(timeout_ms=60_000), "ok")
    assert seconds_until(execution, "retry_at", "a") == pytest.approx(60, abs=3)

    let_expire(execution)
    go_on(execution)

    state = run_at(execution, "a").state
    assert state is not None
    assert state["decisions"] == {"c1": False}
    assert Approval.objects.get().decision == "expired"
    assert now_of(execution).status == "completed"


def test_of_two_answers_one_counts(script: Scripted) -> None:
    execution = begun(script, asking(), "ok")
    approval = asked(execution, "a")

    say(approval, None)
    with pytest.raises(control.Refused):
        say(approval, None, "rejected")
    go_on(execution)

    state = run_at(execution, "a").state
    assert state is not None
    assert state["decisions"] == {"c1": True}


def test_somebody_else_may_not_answer(script: Scripted) -> None:
    execution = begun(script, asking(users=["ann"]))
    bob = User.objects.create_user("bob")

    with pytest.raises(control.Refused):
        say(asked(execution, "a"), bob)

    assert statuses(execution) == {"a": "waiting"}


def test_a_reconciler_that_dies_in_between_loses_nothing(script: Scripted) -> None:
    execution = begun(script, parked(), "ok")
    let_pass(execution, 31)
    run = new_run(execution, "a")
    with one_transaction():
        lock_execution(execution.pk)
        lifecycle.unpark(run, more={})  # and it sends nothing

    Execution.objects.filter(pk=execution.pk).update(
        wake_at=now_of(execution).created_at - timedelta(hours=1)
    )
    recovery.wake_due()
    do()

    assert now_of(execution).status == "completed"
