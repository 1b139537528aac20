"""Questions to people: asked, answered once, reminded of, and over in time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from executions import control, passage, recovery, resumption
from executions.approvals import (
    OPEN,
    AlreadyDecided,
    NotAsked,
    answerable_by,
    visible_to,
)
from executions.control import Refused
from executions.models import Approval, Event, Execution
from roles.problems import InvalidDocument
from tests.integration.approving import (
    FORM,
    asked,
    asking,
    begun,
    ids,
    let_expire,
    question,
    round_of_reconciler,
    say,
)
from tests.integration.asking import (
    check_one_end,
    error_of,
    outputs,
    seconds_until,
    statuses,
    times_told,
)
from tests.integration.engine import (
    address_of,
    age,
    at_once,
    deliver_all,
    launched,
    messages,
    now_of,
    plan_of,
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


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_user("root", is_superuser=True)


def event_data(execution: Execution, type_: str) -> list[Any]:
    events = Event.objects.filter(execution=execution, type=type_).order_by("id")
    return list(events.values_list("data", flat=True))


def of_loop(*steps: dict[str, Any], turns: int = 2) -> dict[str, Any]:
    config = {"max_iterations": 9, "count": turns, "collect": "all"}
    return {"key": "again", "step_type": "loop", "config": config, "steps": list(steps)}


def of_map(*steps: dict[str, Any], items: list[Any]) -> dict[str, Any]:
    config = {"items": items}
    return {"key": "each", "step_type": "map", "config": config, "steps": list(steps)}


# --- asked ------------------------------------------------------------------------


def test_a_question_waits_and_says_what_it_asks(user: User) -> None:
    execution = asking(of=user, prompt="Pay {{ context.input }}?", form=FORM)

    approval = asked(execution)
    assert now_of(execution).status == "waiting"
    assert statuses(execution) == {"ask": "waiting"}
    assert run_at(execution, "ask").input == {
        "prompt": "Pay {}?",
        "form": FORM,
        "users": [],
        "groups": [],
        "permission": None,
    }
    assert (approval.prompt, approval.form, approval.expires_at) == (
        "Pay {}?",
        FORM,
        None,
    )
    assert approval.step_run == run_at(execution, "ask").pk
    [data] = event_data(execution, "step.asked")
    assert data["approval_id"] == str(approval.pk)


def test_without_a_prompt_it_is_the_name_that_is_asked(user: User) -> None:
    execution = begun(launched(question(fields={"name": "May I?"})), of=user)
    assert asked(execution, "ask").prompt == "May I?"


def test_a_prompt_that_is_no_text_fails_the_step(user: User) -> None:
    execution = asking(of=user, prompt="{{ context.input }}")
    assert error_of(execution)["type"] == "bad_prompt"
    assert ids(execution) == []


def test_a_time_that_is_no_number_fails_the_step(user: User) -> None:
    execution = asking(of=user, timeout_ms="{{ context.input }}")
    assert error_of(execution)["type"] == "bad_timeout"


def test_permissions_that_do_not_fit_together_fail_the_step(user: User) -> None:
    long = [f"{letter * 90}.{letter * 90}" for letter in "ab"]
    execution = asking(
        of=user,
        permission=long[0],
        timeout_ms=60_000,
        on_timeout="escalate",
        escalate_to={"permission": long[1]},
    )
    assert error_of(execution)["type"] == "bad_permission"


def test_the_timer_is_the_earlier_of_reminder_and_end(user: User) -> None:
    soon = asking(of=user, timeout_ms=60_000, remind_every_ms=30_000)
    late = asking(of=user, timeout_ms=60_000, remind_every_ms=90_000)
    assert 25 < seconds_until(soon, "retry_at", "ask") <= 30
    assert 55 < seconds_until(late, "retry_at", "ask") <= 60
    assert seconds_until(late, "wake_at") <= 60


# --- answered ---------------------------------------------------------------------


def test_an_approval_goes_on_with_who_said_so(user: User, broker: redis.Redis) -> None:
    execution = asking(of=user)
    say(asked(execution), user, comment="fine")
    deliver_all(broker)

    said = {"approved": True, "by": "ada", "comment": "fine"}
    assert outputs(execution) == {"ask": said, "then": said}
    assert now_of(execution).status == "completed"
    approval = asked(execution)
    assert (approval.decision, approval.decided_by, approval.channel) == (
        "approved",
        user,
        "api",
    )
    assert event_data(execution, "step.answered") == [
        {
            **said,
            "approval_id": str(approval.pk),
            "decision": "approved",
            "channel": "api",
        }
    ]
    check_one_end(execution)


def test_the_answer_to_a_form_is_the_output(user: User, broker: redis.Redis) -> None:
    execution = asking(of=user, form=FORM)
    say(asked(execution), user, answer={"amount": 5})
    deliver_all(broker)
    assert outputs(execution)["then"] == {"amount": 5}


@pytest.mark.parametrize(
    ("form", "given", "pointer"),
    [
        (FORM, {"amount": "5"}, "/answer/amount"),
        (FORM, None, "/answer"),
        (FORM, {"amount": float("nan")}, "/answer/amount"),
        (None, {"amount": 5}, "/answer"),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(
    user: User, form: Any, given: Any, pointer: str
) -> None:
    execution = asking(of=user, **({"form": form} if form else {}))
    with pytest.raises(InvalidDocument) as refused:
        say(asked(execution), user, answer=given)
    assert refused.value.problems[0].pointer == pointer
    assert statuses(execution) == {"ask": "waiting"}
    assert asked(execution).decision is None


def test_an_answer_that_is_too_large_is_refused(user: User, settings: Any) -> None:
    settings.CORE_MAX_OUTPUT_BYTES = 100
    execution = asking(of=user, form={"type": "string"})
    with pytest.raises(InvalidDocument) as refused:
        say(asked(execution), user, answer="x" * 200)
    assert refused.value.problems[0].code == "output_too_large"


def test_a_rejection_fails_the_step(user: User) -> None:
    execution = asking(of=user, form=FORM)
    say(asked(execution), user, "rejected", comment="too dear")
    assert now_of(execution).status == "failed"
    assert error_of(execution) == {
        "step_key": "ask",
        "type": "rejected",
        "message": "ada rejected it: too dear",
        "attempt": 1,
    }


def test_a_rejection_may_be_an_output(user: User, broker: redis.Redis) -> None:
    execution = asking(of=user, form=FORM, on_reject="continue")
    say(asked(execution), user, "rejected")
    deliver_all(broker)
    said = {"approved": False, "by": "ada", "comment": ""}
    assert outputs(execution) == {"ask": said, "then": said}


def test_the_last_step_may_ask(user: User) -> None:
    execution = asking(of=user, behind=False)
    say(asked(execution), user)
    assert now_of(execution).status == "completed"


def test_of_many_who_answer_at_once_one_does(user: User, root: User) -> None:
    execution = asking(of=user)
    approval = asked(execution)
    answers = [partial(say, approval, user), partial(say, approval, root, "rejected")]

    came = at_once(*answers, *answers)

    lost = [each for each in came if each is not None]
    assert len(lost) == 3
    assert all(isinstance(each, AlreadyDecided) for each in lost), lost
    assert times_told(execution, "step.answered ask") == 1
    approval.refresh_from_db()
    won = came.index(None) % 2
    assert approval.decision == ("approved", "rejected")[won]


def test_who_comes_later_hears_what_was_decided(user: User, root: User) -> None:
    execution = asking(of=user)
    say(asked(execution), root, "rejected")
    with pytest.raises(AlreadyDecided) as refused:
        say(asked(execution), user)
    error = refused.value
    assert (error.code, error.decision, error.decided_by) == (
        "already_decided",
        "rejected",
        "root",
    )
    assert error.decided_at == asked(execution).decided_at
    assert "rejected by root" in str(error)


# --- by whom ----------------------------------------------------------------------


def permitted(name: str) -> User:
    person = User.objects.create_user(name)
    person.user_permissions.set(Permission.objects.filter(codename="change_role"))
    return person


@pytest.mark.parametrize(
    ("named", "may"),
    [
        ({}, {"ada", "eve"}),
        ({"users": ["bob"]}, {"bob"}),
        ({"groups": ["ops"]}, {"gil"}),
        ({"permission": "roles.change_role"}, {"pat"}),
        ({"users": ["bob"], "groups": ["ops"]}, {"bob", "gil"}),
    ],
)
def test_those_who_are_asked_may_answer_and_nobody_else(
    user: User, other: User, staff: User, root: User, named: Any, may: set[str]
) -> None:
    gil, pat = User.objects.create_user("gil"), permitted("pat")
    gil.groups.add(Group.objects.create(name="ops"))
    gone = User.objects.create_user("gone", is_active=False, is_superuser=True)
    execution = asking(of=user, **named)

    everybody = (user, other, staff, root, gil, pat, gone)
    able = {each.username for each in everybody if answerable_by(each).exists()}

    assert able == {*may, "root"}
    for each in everybody:
        if each.username not in able:
            with pytest.raises(NotAsked):
                say(asked(execution), each)
    say(asked(execution), User.objects.get(username=min(may)))


def test_who_has_answered_sees_it_though_others_are_asked_now(
    user: User, other: User
) -> None:
    execution = asking(of=user, groups=["ops"])
    other.groups.add(Group.objects.create(name="ops"))
    say(asked(execution), other)
    other.groups.clear()
    assert visible_to(other).get().pk == asked(execution).pk
    assert not visible_to(user).exists()


# --- the clock --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "status", "decision"),
    [
        ({}, "timed_out", "expired"),
        ({"on_timeout": "approve"}, "completed", "approved"),
        ({"on_timeout": "reject"}, "failed", "rejected"),
        ({"on_timeout": "reject", "on_reject": "continue"}, "completed", "rejected"),
    ],
)
def test_the_clock_decides_when_nobody_does(
    user: User, config: Any, status: str, decision: str
) -> None:
    execution = asking(of=user, timeout_ms=60_000, form=FORM, **config)
    let_expire(execution)
    round_of_reconciler(execution)

    assert statuses(execution)["ask"] == status
    approval = asked(execution)
    assert (approval.decision, approval.channel, approval.decided_by) == (
        decision,
        "clock",
        None,
    )
    if status == "completed":
        said = {"approved": decision == "approved", "by": None, "comment": ""}
        assert outputs(execution)["ask"] == said
    else:
        kind = "rejected" if decision == "rejected" else "timed_out"
        assert error_of(execution)["type"] == kind
    with pytest.raises(AlreadyDecided):
        say(asked(execution), user, answer={"amount": 1})


def test_an_answer_after_its_time_loses_though_no_reconciler_was_there(
    user: User,
) -> None:
    execution = asking(of=user, timeout_ms=60_000)
    let_expire(execution)

    with pytest.raises(AlreadyDecided) as refused:
        say(asked(execution), user)

    assert refused.value.decision == "expired"
    assert statuses(execution)["ask"] == "timed_out"
    round_of_reconciler(execution)
    assert times_told(execution, "step.timed_out ask") == 1
    check_one_end(execution)


def test_a_deadline_that_many_rounds_see_fires_once(user: User) -> None:
    execution = asking(of=user, timeout_ms=60_000, on_timeout="approve")
    let_expire(execution)
    came = at_once(*[partial(round_of_reconciler, execution)] * 3)
    assert came == [None] * 3
    assert times_told(execution, "step.completed ask") == 1


def test_an_answer_and_the_deadline_at_once_are_one_end(user: User) -> None:
    for _ in range(5):
        execution = asking(of=user, timeout_ms=60_000, on_timeout="reject")
        approval = asked(execution)
        execution.step_runs.update(retry_at=timezone.now())
        Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now())
        at_once(partial(say, approval, user), partial(round_of_reconciler, execution))
        assert times_told(execution, "step.answered ask") == 1
        approval.refresh_from_db()
        status = {"approved": "completed", "rejected": "failed"}[str(approval.decision)]
        assert statuses(execution)["ask"] == status


def let_wait(execution: Execution, seconds: float) -> None:
    moved = timezone.now() - timedelta(seconds=seconds)
    Approval.objects.filter(execution=execution).update(asked_at=moved)
    execution.step_runs.update(retry_at=timezone.now())


def test_reminders_tell_how_long_it_has_waited(user: User) -> None:
    execution = asking(of=user, remind_every_ms=60_000)
    let_wait(execution, 61)
    round_of_reconciler(execution)

    [data] = event_data(execution, "step.reminded")
    assert 61_000 <= data["waited_ms"] < 70_000
    assert 50 < seconds_until(execution, "retry_at", "ask") < 60
    assert now_of(execution).status == "waiting"

    let_wait(execution, 300)  # of those that were missed there is one
    round_of_reconciler(execution)
    assert times_told(execution, "step.reminded ask") == 2
    assert 50 < seconds_until(execution, "retry_at", "ask") <= 60

    say(asked(execution), user)
    assert statuses(execution)["ask"] == "completed"


def test_a_reminder_does_not_put_off_the_end(user: User) -> None:
    execution = asking(of=user, remind_every_ms=60_000, timeout_ms=90_000)
    let_wait(execution, 61)
    round_of_reconciler(execution)
    assert 50 < seconds_until(execution, "retry_at", "ask") <= 60
    let_expire(execution)
    round_of_reconciler(execution)
    assert statuses(execution)["ask"] == "timed_out"


@pytest.mark.parametrize("first", [{}, {"users": ["bob"]}])
def test_an_escalation_asks_others_as_well(
    user: User, other: User, staff: User, first: Any
) -> None:
    boss = permitted("boss")
    execution = asking(
        of=user,
        timeout_ms=60_000,
        on_timeout="escalate",
        escalate_to={
            "permission": "roles.change_role",
            "timeout_ms": 120_000,
            "on_timeout": "approve",
        },
        **first,
    )
    assert not answerable_by(boss).exists()
    let_expire(execution)
    round_of_reconciler(execution)

    assert statuses(execution) == {"ask": "waiting"}
    assert now_of(execution).status == "waiting"
    assert 110 < seconds_until(execution, "retry_at", "ask") <= 120
    [data] = event_data(execution, "step.escalated")
    assert data["permission"] == "roles.change_role"
    both = {each.username for each in (user, other, boss) if answerable_by(each)}
    assert both == {"boss", "bob" if first else "ada"}

    let_expire(execution)
    round_of_reconciler(execution)
    assert outputs(execution)["ask"]["approved"] is True
    assert times_told(execution, "step.escalated ask") == 1


def test_an_escalation_is_answered_by_those_it_asks(user: User) -> None:
    boss = User.objects.create_user("boss")
    execution = asking(
        of=user,
        timeout_ms=60_000,
        on_timeout="escalate",
        escalate_to={"users": ["boss"]},
    )
    let_expire(execution)
    round_of_reconciler(execution)
    assert run_at(execution, "ask").retry_at is None
    say(asked(execution), boss)
    assert outputs(execution)["ask"]["by"] == "boss"


# --- steered meanwhile ------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_what_was_cancelled_is_asked_no_longer(user: User, verb: str) -> None:
    execution = asking(of=user)
    getattr(control, verb)(execution.pk, by="ada")
    assert not visible_to(user).filter(OPEN).exists()
    with pytest.raises(Refused) as refused:
        say(asked(execution), user)
    assert refused.value.code == "no_longer_asked"
    assert asked(execution).decision == "withdrawn"
    assert now_of(execution).status == "cancelled"


def test_an_answer_and_a_cancellation_at_once_leave_one_end(user: User) -> None:
    for _ in range(5):
        execution = asking(of=user)
        at_once(
            partial(say, asked(execution), user),
            partial(control.cancel, execution.pk, by="ada"),
        )
        assert now_of(execution).status in ("cancelled", "running")
        ended = statuses(execution)["ask"]
        approved = asked(execution).decision == "approved"
        assert ended == ("completed" if approved else "cancelled")


def test_a_paused_execution_takes_the_answer_and_goes_on_later(
    user: User, broker: redis.Redis
) -> None:
    execution = asking(of=user, timeout_ms=60_000)
    control.pause(execution.pk, by="ada")
    say(asked(execution), user)
    assert now_of(execution).status == "paused"
    assert statuses(execution) == {"ask": "completed"}
    assert messages(broker) == []
    control.resume(execution.pk, by="ada")
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_a_rejection_ends_a_paused_execution(user: User) -> None:
    execution = asking(of=user)
    control.pause(execution.pk, by="ada")
    say(asked(execution), user, "rejected")
    assert now_of(execution).status == "failed"


def test_a_deadline_waits_for_a_pause_to_end(user: User) -> None:
    execution = asking(of=user, timeout_ms=60_000)
    control.pause(execution.pk, by="ada")
    let_expire(execution)
    round_of_reconciler(execution)
    assert statuses(execution) == {"ask": "waiting"}
    control.resume(execution.pk, by="ada")
    assert statuses(execution) == {"ask": "timed_out"}


def test_a_retry_after_a_rejection_asks_anew(user: User) -> None:
    execution = asking(of=user, timeout_ms=60_000)
    first = asked(execution)
    say(first, user, "rejected")

    assert control.retry(execution.pk, by="ada")

    second = asked(execution)
    assert (len(ids(execution)), second.decision) == (2, None)
    with pytest.raises(AlreadyDecided):
        say(first, user)
    say(second, user)
    assert statuses(execution)["ask"] == "completed"


def test_a_retry_after_a_cancellation_withdraws_the_old_question(user: User) -> None:
    execution = asking(of=user)
    first = asked(execution)
    control.cancel(execution.pk, by="ada")
    assert control.retry(execution.pk, by="ada")
    first.refresh_from_db()
    assert first.decision == "withdrawn"
    with pytest.raises(Refused) as refused:
        say(first, user)
    assert refused.value.code == "no_longer_asked"
    say(asked(execution), user)
    assert statuses(execution)["ask"] == "completed"


def test_a_question_that_was_begun_twice_is_one(user: User) -> None:
    execution = asking(of=user)
    resumption.go_on(execution.pk, which="all")
    passage.begin(address_of(execution), plan_of(execution).by_path["ask"])
    assert len(ids(execution)) == 1


@pytest.mark.parametrize("place", ["top", "map"])
def test_an_answer_is_not_lost_with_who_took_it(
    user: User, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    ask = question() if place == "top" else of_map(question(), items=[1])
    path = "ask" if place == "top" else "each[0]/ask"
    execution = begun(launched(ask, step("then", role())), of=user)
    with monkeypatch.context() as dying:
        dying.setattr(passage, "follow", lambda *_: None)
        dying.setattr(resumption, "rest", lambda *_: None)
        say(asked(execution, path), user)
    assert messages(broker) == []

    age(execution, 60)
    assert recovery.resend_lost(broker) == 1

    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert times_told(execution, "execution.completed") == 1


# --- beside others, and in bodies -------------------------------------------------


def test_members_of_a_group_are_asked_at_once(user: User, broker: redis.Redis) -> None:
    members = [question(key, fields={"parallel_group": "g"}) for key in ("a", "b")]
    execution = begun(launched(*members, step("then", role())), of=user)
    say(asked(execution, "a"), user)
    assert now_of(execution).status == "waiting"
    assert messages(broker) == []
    say(asked(execution, "b"), user)
    deliver_all(broker)
    assert now_of(execution).status == "completed"


def test_each_turn_of_a_loop_asks_anew(user: User) -> None:
    loop = of_loop(question(prompt="Turn {{ loop.index }}?"))
    execution = begun(launched(loop), of=user)
    assert now_of(execution).status == "waiting"
    for turn in range(2):
        approval = asked(execution, f"again[{turn}]/ask")
        assert approval.prompt == f"Turn {turn}?"
        say(approval, user, comment=str(turn))
    assert now_of(execution).status == "completed"
    comments = [each["comment"] for each in outputs(execution)["again"]]
    assert comments == ["0", "1"]


def test_a_rejection_ends_its_turn_and_the_loop(user: User) -> None:
    execution = begun(launched(of_loop(question())), of=user)
    say(asked(execution, "again[0]/ask"), user, "rejected")
    assert now_of(execution).status == "failed"
    assert error_of(execution)["type"] == "rejected"


def test_the_items_of_a_map_are_asked_at_once(user: User) -> None:
    inner = question(prompt="{{ item }}", form={"type": "integer"})
    execution = begun(launched(of_map(inner, items=["a", "b", "c"])), of=user)
    paths = [f"each[{n}]/ask" for n in range(3)]
    assert [asked(execution, path).prompt for path in paths] == ["a", "b", "c"]

    came = at_once(
        *(
            partial(say, asked(execution, p), user, answer=n)
            for n, p in enumerate(paths)
        )
    )

    assert came == [None] * 3
    assert now_of(execution).status == "completed", told(execution)
    assert outputs(execution)["each"] == [0, 1, 2]


def test_a_map_rests_while_some_are_asked_still(user: User) -> None:
    execution = begun(launched(of_map(question(), items=[1, 2])), of=user)
    say(asked(execution, "each[1]/ask"), user)
    assert now_of(execution).status == "waiting"
    say(asked(execution, "each[0]/ask"), user)
    assert now_of(execution).status == "completed"


def test_what_is_cut_with_its_body_is_asked_no_longer(user: User) -> None:
    execution = begun(launched(of_map(question(), items=[1, 2])), of=user)
    say(asked(execution, "each[1]/ask"), user, "rejected")
    assert now_of(execution).status == "failed"
    with pytest.raises(Refused) as refused:
        say(asked(execution, "each[0]/ask"), user)
    assert refused.value.code == "no_longer_asked"
