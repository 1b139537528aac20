"""Budgets: reserved before, settled after, and never more than there is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from executions import lifecycle
from executions.models import Budget, BudgetAccount, Execution, Reservation, Spending
from executions.spending import budgets, ledger
from executions.spending.allot import allot
from executions.spending.budgets import Scene, Verdict
from roles.runners.hosting import CallUsage
from roles.toolkit import BudgetLimits
from tests.integration.engine import (
    at_once,
    claimed,
    launched,
    now_of,
    role,
    run_at,
    step,
)
from tests.integration.spending import (
    account_of,
    applied,
    budget,
    call,
    recorded,
    reserve,
    reserved_of,
    running,
    scene_of,
    spent_of,
)
from tests.integration.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    budgets.forget()
    yield
    budgets.forget()


# --- at the same time -----------------------------------------------------------------


@pytest.mark.parametrize(
    "limit", [{"money": Decimal(10)}, {"tokens": 1000}, {"requests": 10}]
)
def test_fifty_at_once_never_get_more_than_there_is(limit: dict[str, Any]) -> None:
    made = budget(**limit)
    verdicts = at_once(*[partial(reserve, made) for _ in range(50)])
    answers = [each.answer for each in verdicts if isinstance(each, Verdict)]
    assert len(answers) == 50, verdicts
    assert sum(answer in ("ok", "soft") for answer in answers) == 10
    assert answers.count("soft") == 1
    assert set(answers) == {"ok", "soft", "wait"}
    assert len(reserved_of(made)) == 10
    assert BudgetAccount.objects.count() == 1


def test_those_who_settle_meanwhile_are_never_in_a_circle() -> None:
    claim = running()
    three = [budget(requests=1000), budget(requests=1000), budget(requests=1000)]

    def spend(number: int) -> str:
        order = three if number % 2 else three[::-1]
        for _ in range(5):
            id_ = uuid4()
            verdict = reserve(*order, call_id=id_, claim=claim)
            assert verdict.answer in ("ok", "soft")
            if number % 3:
                ledger.record([call(claim, call_id=id_)])
            else:
                budgets.release([id_])
        return "done"

    ends = at_once(*[partial(spend, number) for number in range(12)])
    assert ends == ["done"] * 12
    for made in three:
        account = account_of(made)
        assert (account.requests, account.tokens) == (40, 40 * 120)
        assert account.money == 40 * Decimal("0.5")
    assert not Reservation.objects.exists()
    assert Spending.objects.count() == 40


def test_each_call_is_counted_once_whoever_comes_first() -> None:
    """Answers, the next attempt and the sweep meet over calls whose time is over."""
    claim = running()
    made, other = budget(requests=1000), budget(requests=1000)
    calls = [uuid4() for _ in range(60)]
    for number, id_ in enumerate(calls):
        order = (made, other) if number % 2 else (other,)
        reserve(*order, call_id=id_, claim=claim, seconds=-1.0)

    def answer(start: int) -> None:
        for id_ in calls[start::3]:
            ledger.record([call(claim, call_id=id_)])

    def lose() -> None:
        for _ in range(10):
            budgets.lost(claim.run.id, claim.fence + 1)

    def sweep() -> None:
        for _ in range(20):
            budgets.sweep_expired(5)

    ends = at_once(*(partial(answer, n) for n in range(3)), lose, sweep, sweep)
    assert ends == [None] * 6
    assert Spending.objects.count() == 60
    assert not Reservation.objects.exists()
    assert (account_of(made).requests, account_of(other).requests) == (30, 60)


def test_calls_with_room_in_one_budget_alone_reserve_in_none() -> None:
    wide, narrow = budget(requests=10), budget(requests=0)
    assert reserve(wide, narrow).answer == "exhausted"
    assert not Reservation.objects.exists()


# --- settled, released, waited for ----------------------------------------------------


def test_a_call_settles_for_what_it_took() -> None:
    claim, made = running(), budget(tokens=1000, money=Decimal(10))
    id_ = uuid4()
    assert reserve(made, call_id=id_, claim=claim, money=3).answer == "ok"
    (held,) = reserved_of(made)
    assert held.money == 3
    assert (held.tokens, held.requests) == (100, 1)

    ledger.record([call(claim, call_id=id_)])

    assert spent_of(made) == (0.5, 120, 1)
    assert not reserved_of(made)


def test_a_call_that_is_recorded_twice_is_paid_once() -> None:
    claim, made = running(), budget()
    id_ = uuid4()
    reserve(made, call_id=id_, claim=claim)
    once = call(claim, call_id=id_, messages=[{"kind": "response"}])
    ledger.record([once])
    ledger.record([once])
    assert Spending.objects.count() == 1
    assert account_of(made).money == Decimal("0.5")


def test_a_call_of_unknown_cost_settles_for_what_was_reserved() -> None:
    claim, made = running(), budget()
    id_ = uuid4()
    reserve(made, call_id=id_, claim=claim, money=2)
    ledger.record([call(claim, call_id=id_, cost=None)])
    assert account_of(made).money == 2


def test_what_is_released_may_be_spent_by_others() -> None:
    made, id_ = budget(requests=1), uuid4()
    assert reserve(made, call_id=id_).reserved
    assert reserve(made).answer == "wait"
    budgets.release([id_])
    assert reserve(made).reserved


def test_a_wait_ends_when_the_others_settle_for_less() -> None:
    claim, made, id_ = running(), budget(), uuid4()
    assert reserve(made, money=9, call_id=id_, claim=claim).reserved
    verdict = reserve(made, money=5)
    assert (verdict.answer, verdict.after_s) == ("wait", 1.0)
    ledger.record([call(claim, call_id=id_)])
    assert reserve(made, money=5).reserved


def test_the_hard_limit_says_whether_to_wait_or_to_fail() -> None:
    waits, fails = budget(requests=0), budget(requests=0, on_hard="fail")
    verdict = reserve(waits)
    assert (verdict.answer, verdict.on_hard) == ("exhausted", "wait")
    assert (verdict.budget, verdict.after_s) == (waits.pk, None)
    assert reserve(fails).on_hard == "fail"


def test_a_model_without_a_price_is_refused_by_a_budget_of_money() -> None:
    verdict = reserve(budget(), money=None)
    assert verdict.answer == "unpriced"
    assert "price of the model is unknown" in verdict.detail
    assert reserve(budget(tokens=1000), money=None).answer == "ok"


def test_the_soft_limit_is_told_once_and_again_after_a_change() -> None:
    made = budget(requests=10)
    answers = [reserve(made).answer for _ in range(10)]
    assert answers == ["ok"] * 7 + ["soft"] + ["ok"] * 2
    assert account_of(made).soft_told_at is not None


def test_a_cheaper_model_is_asked_for_from_the_soft_limit_on() -> None:
    made = budget(requests=4, soft_percent=50, on_soft="cheaper")
    verdicts = [reserve(made) for _ in range(4)]
    assert [each.cheaper for each in verdicts] == [False, True, True, True]
    assert [len(each.crossed) for each in verdicts] == [0, 1, 0, 0]


# --- periods, shares, switched off ----------------------------------------------------


def test_a_day_ends_and_begins_by_utc() -> None:
    made = budget(requests=1, period="day")
    assert reserve(made).reserved
    account = account_of(made)
    assert account.period_start == datetime.now(UTC).date()
    Reservation.objects.all().delete()
    BudgetAccount.objects.update(requests=1)
    verdict = reserve(made)
    assert verdict.answer == "exhausted"
    assert verdict.after_s is not None
    assert 0 < verdict.after_s <= 24 * 3600
    # That was yesterday's account, then.
    yesterday = account.period_start - timedelta(days=1)
    BudgetAccount.objects.update(id=uuid4(), period_start=yesterday)
    assert reserve(made).reserved
    assert BudgetAccount.objects.filter(budget=made).count() == 2


def test_a_share_per_execution_is_of_each() -> None:
    made = budget(requests=1, per_execution=True)
    first, second = uuid4(), uuid4()
    assert reserve(made, share=first).reserved
    assert not reserve(made, share=first).reserved
    assert reserve(made, share=second).reserved


@pytest.mark.parametrize("change", ["off", "gone"])
def test_a_budget_that_is_off_or_gone_holds_nobody_up(change: str) -> None:
    made = budget(requests=0)
    known = applied(made)
    if change == "off":
        Budget.objects.filter(pk=made.pk).update(is_active=False)
    else:
        made.delete()
    verdict = budgets.reserve(uuid4(), uuid4(), 1, known, None, 1, 1, 60.0)
    assert verdict.answer == "ok"
    assert not Reservation.objects.exists()


def test_limits_are_read_as_they_are_and_not_as_they_were_known() -> None:
    made = budget(requests=0)
    assert not reserve(made).reserved
    Budget.objects.filter(pk=made.pk).update(requests=5)
    assert reserve(made).reserved


def test_an_account_begins_with_what_was_spent_before() -> None:
    claim = running()
    recorded(claim)
    execution = Execution.objects.get(pk=claim.run.execution_id)
    child = launched(step("a", role()))
    Execution.objects.filter(pk=child.pk).update(parent_execution=execution)
    recorded(claimed(now_of(child), "a"))
    old = recorded(claim)
    past = timezone.now() - timedelta(days=40)
    Spending.objects.filter(call_id=old.call_id).update(at=past)
    recorded(running())

    role_id = scene_of(claim).role_id
    of_role = budget(scope_id=role_id)
    of_month = budget(scope_id=role_id, period="month")
    of_tree = budget("execution", execution.pk)
    share = budget("orchestration", execution.orchestration_id, per_execution=True)
    reserve(of_role, of_month, of_tree)
    reserve(share, share=execution.pk)
    opened = {each.pk: account_of(each) for each in (of_role, of_month, of_tree, share)}
    assert opened[of_role.pk].money == 1
    assert opened[of_month.pk].money == Decimal("0.5")
    assert opened[of_tree.pk].money == Decimal("1.5")
    assert opened[of_tree.pk].tokens == 360
    assert opened[share.pk].requests == 2  # the child is of another orchestration


# --- which apply ----------------------------------------------------------------------


def test_without_budgets_next_to_nothing_is_asked() -> None:
    scene = Scene(role_id=uuid4(), execution_ids=(uuid4(),))
    with statements() as asked:
        for _ in range(100):
            assert budgets.applying(scene) == ()
    assert len(asked) == 1


def test_with_budgets_little_is_asked() -> None:
    claim = running()
    scene = scene_of(claim)
    budget("execution", claim.run.execution_id)
    with statements() as asked:
        for _ in range(100):
            assert len(budgets.applying(scene)) == 1
    assert len(asked) == 2


def test_those_of_all_scopes_apply_and_others_do_not() -> None:
    claim = running(api_key_id=uuid4())
    above = uuid4()
    scene = scene_of(claim, above)
    wanted = [
        budget("role", scene.role_id),
        budget("orchestration", scene.orchestration_id),
        budget("api_key", scene.api_key_id),
        budget("execution", claim.run.execution_id),
        budget("execution", above),
    ]
    budget("role")
    budget("execution")
    budget("orchestration", scene.role_id)
    budget("role", scene.role_id, period="day", is_active=False)
    assert [each.id for each in budgets.applying(scene)] == sorted(
        each.pk for each in wanted
    )


def test_shares_are_of_the_execution_and_those_above_it() -> None:
    inner, middle, outer = uuid4(), uuid4(), uuid4()
    role_id = uuid4()
    of_role = budget("role", role_id, per_execution=True)
    of_middle = budget("execution", middle, per_execution=True)
    scene = Scene(role_id=role_id, execution_ids=(inner, middle, outer))
    shares: dict[UUID, set[UUID | None]] = {}
    for each in budgets.applying(scene):
        shares.setdefault(each.id, set()).add(each.execution_id)
    assert shares == {
        of_role.pk: {inner, middle, outer},
        of_middle.pk: {inner, middle},
    }


def test_an_allotted_budget_is_made_once_and_stays() -> None:
    claim = running()
    execution_id = claim.run.execution_id
    scene = scene_of(claim)
    assert budgets.applying(scene) == ()
    made = allot(execution_id, BudgetLimits(money=Decimal(2), requests=3))
    assert [each.id for each in budgets.applying(scene)] == [made]
    Budget.objects.update(requests=9)
    assert allot(execution_id, BudgetLimits(requests=1)) == made
    assert Budget.objects.get().requests == 9
    assert allot(uuid4(), BudgetLimits()) is None


# --- lost attempts --------------------------------------------------------------------


def test_what_a_lost_attempt_reserved_is_spent() -> None:
    claim, made, id_ = running(), budget(), uuid4()
    reserve(made, call_id=id_, claim=claim, money=3)

    assert budgets.lost(claim.run.id, claim.fence) == 0  # it is its own
    assert budgets.lost(claim.run.id, claim.fence + 1) == 1

    assert spent_of(made) == (3, 100, 1)
    assert not reserved_of(made)
    row = Spending.objects.get()
    assert (row.provider, row.model, row.requests) == ("lost", "unknown", 1)
    assert row.cost == 3
    assert (row.input_tokens, row.attempt) == (100, 1)
    assert (row.role_name, row.path) == (claim.run.role_name, "a")
    assert row.role_id == scene_of(claim).role_id
    assert row.execution_id == claim.run.execution_id


def test_a_call_in_two_budgets_is_lost_once() -> None:
    claim = running()
    first, second = budget(), budget(requests=10)
    reserve(first, second, claim=claim, money=3)
    budgets.lost(claim.run.id, claim.fence + 1)
    assert Spending.objects.count() == 1
    assert spent_of(first) == spent_of(second) == (3, 100, 1)


def test_a_lost_call_of_unknown_price_has_an_unknown_cost() -> None:
    claim = running()
    reserve(budget(tokens=1000), claim=claim, money=None)
    budgets.lost(claim.run.id, claim.fence + 1)
    assert Spending.objects.get().cost is None


def test_an_answer_to_a_call_that_was_counted_as_lost_changes_nothing() -> None:
    claim, made, id_ = running(), budget(), uuid4()
    reserve(made, call_id=id_, claim=claim, money=3)
    budgets.lost(claim.run.id, claim.fence + 1)
    ledger.record([call(claim, call_id=id_)])
    assert account_of(made).money == 3
    assert Spending.objects.get().provider == "lost"


def test_the_sweep_counts_what_is_over_and_leaves_what_is_not() -> None:
    claim, made = running(), budget(requests=3)
    reserve(made, claim=claim, seconds=-1.0)
    reserve(made, claim=claim)
    assert budgets.sweep_expired(100) == 1
    assert budgets.sweep_expired(100) == 0
    assert account_of(made).requests == 1
    assert len(reserved_of(made)) == 1


def test_a_reservation_that_is_over_still_takes_its_room() -> None:
    made = budget(requests=1)
    reserve(made, seconds=-1.0)
    assert reserve(made).answer == "exhausted"


def test_the_sweep_does_not_trip_over_an_execution_that_is_gone() -> None:
    made = budget(requests=3)
    reserve(made, seconds=-1.0)
    assert budgets.sweep_expired(100) == 1
    assert account_of(made).requests == 1
    assert not Spending.objects.exists()


# --- raised ---------------------------------------------------------------------------


def parked(made: Budget) -> Execution:
    """Let a step wait for a budget as the engine does."""
    execution = launched(step("a", role()))
    claim = claimed(execution, "a")
    state = {"parked": "budget", "detail": "No money.", "budget": str(made.pk)}
    assert lifecycle.park(
        claim, state=state, after_s=None, question=None, among=range(1)
    )
    return now_of(execution)


def test_raising_wakes_what_waits_for_it_and_nothing_else() -> None:
    made, other = budget(), budget()
    mine, theirs = parked(made), parked(other)
    assert run_at(mine, "a").retry_at is None

    assert budgets.raised(made.pk) == 1

    woken = run_at(mine, "a")
    assert woken.status == "waiting"
    assert woken.retry_at is not None
    assert woken.retry_at <= timezone.now()
    assert lifecycle.due_waits(mine.pk) == ["a"]
    assert now_of(mine).wake_at is not None
    assert run_at(theirs, "a").retry_at is None
    assert now_of(theirs).wake_at is None


def test_what_a_raise_just_missed_is_woken_by_the_next_round() -> None:
    made = budget()
    assert budgets.raised_lately() == 0
    Budget.objects.update(created_at=timezone.now() - timedelta(hours=1))
    Budget.objects.get().save()
    mine = parked(made)
    assert budgets.raised_lately() == 1
    assert lifecycle.due_waits(mine.pk) == ["a"]
    past = timezone.now() - timedelta(minutes=5)
    Budget.objects.update(updated_at=past)
    parked(made)
    assert budgets.raised_lately() == 0


def test_many_that_wait_are_all_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executions.spending.raising._BATCH", 2)
    made = budget()
    waiting = [parked(made) for _ in range(5)]
    assert budgets.raised(made.pk) == 5
    assert all(lifecycle.due_waits(each.pk) == ["a"] for each in waiting)


def test_usage_without_tokens_settles_too() -> None:
    claim, made, id_ = running(), budget(), uuid4()
    reserve(made, call_id=id_, claim=claim)
    ledger.record([call(claim, call_id=id_, usage=CallUsage(), cost=Decimal(0))])
    assert spent_of(made) == (0, 0, 1)
