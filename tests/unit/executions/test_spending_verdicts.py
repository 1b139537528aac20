"""Whether a call fits into its budgets, decided from figures."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from executions.spending.verdicts import (
    OK,
    Account,
    Amounts,
    Verdict,
    decide,
    money_text,
)

CALL = Amounts(money=Decimal(1), tokens=100, requests=1)


def account(**fields: Any) -> Account:
    given: dict[str, Any] = {
        "id": uuid4(),
        "budget": uuid4(),
        "title": "role Researcher",
        "period": "day",
        "limits": Amounts(money=Decimal(10)),
        "spent": Amounts(money=Decimal(0), tokens=0, requests=0),
        "reserved": Amounts(money=Decimal(0), tokens=0, requests=0),
        "live": 0,
        "soft_percent": 80,
        "on_soft": "event",
        "on_hard": "wait",
        "is_soft_told": False,
        "renews_in_s": 3600.0,
        **fields,
    }
    return Account(**given)


def money(amount: int | str) -> Amounts:
    return Amounts(money=Decimal(amount), tokens=0, requests=0)


def test_without_accounts_everything_goes() -> None:
    assert decide([], CALL) == OK


def test_what_fits_is_reserved_in_silence() -> None:
    verdict = decide([account(spent=money(3))], CALL)
    assert verdict == OK
    assert verdict.reserved


@pytest.mark.parametrize(
    ("limits", "spent", "words"),
    [
        (Amounts(money=Decimal(10)), money("9.5"), "10.000000 USD: 9.500000 USD spent"),
        (Amounts(tokens=150), Amounts(tokens=51), "150 tokens: 51 tokens spent"),
        (Amounts(requests=2), Amounts(requests=2), "2 requests: 2 requests spent"),
        (Amounts(requests=0), Amounts(), "0 requests"),
    ],
)
def test_each_limit_ends_it_and_says_what_is_short(
    limits: Amounts, spent: Amounts, words: str
) -> None:
    over = account(limits=limits, spent=spent)
    verdict = decide([account(), over], CALL)
    assert (verdict.answer, verdict.budget) == ("exhausted", over.budget)
    assert words in verdict.detail
    assert "role Researcher for the day" in verdict.detail
    assert verdict.after_s == 3600.0
    assert not verdict.reserved


def test_the_last_cent_may_be_spent() -> None:
    assert decide([account(spent=money(9))], CALL).reserved


def test_calls_under_way_are_waited_for_if_they_may_leave_enough() -> None:
    busy = account(spent=money(2), reserved=money(8), live=3)
    verdict = decide([busy], CALL)
    assert (verdict.answer, verdict.after_s) == ("wait", 1.0)
    assert not verdict.reserved


def test_nobody_waits_for_calls_that_could_not_leave_enough() -> None:
    busy = account(spent=money("9.5"), reserved=money("0.5"), live=1)
    assert decide([busy], CALL).answer == "exhausted"


def test_what_nobody_will_settle_counts_as_spent() -> None:
    dead = account(spent=money(2), reserved=money(8), live=0)
    assert decide([dead], CALL).answer == "exhausted"


def test_an_end_is_worth_more_than_a_wait() -> None:
    busy = account(spent=money(2), reserved=money(8), live=3)
    empty = account(spent=money(10))
    assert decide([busy, empty], CALL).budget == empty.budget


def test_of_two_ends_the_one_that_fails_counts() -> None:
    waits = account(spent=money(10), id=UUID(int=1))
    fails = account(spent=money(10), id=UUID(int=2), on_hard="fail")
    verdict = decide([waits, fails], CALL)
    assert (verdict.budget, verdict.on_hard) == (fails.budget, "fail")


def test_money_cannot_be_kept_to_without_a_price() -> None:
    unpriced = Amounts(money=None, tokens=100, requests=1)
    limited = account(on_hard="fail")
    verdict = decide([limited], unpriced)
    assert (verdict.answer, verdict.on_hard) == ("unpriced", "fail")
    assert (verdict.budget, verdict.reserved) == (limited.budget, False)
    assert "price of the model is unknown" in verdict.detail
    assert "catalogue" in verdict.detail


def test_other_limits_do_without_a_price() -> None:
    unpriced = Amounts(money=None, tokens=100, requests=1)
    assert decide([account(limits=Amounts(tokens=1000))], unpriced) == OK


def test_the_soft_limit_is_told_with_what_is_under_way() -> None:
    near = account(spent=money(4), reserved=money(3), live=1)
    verdict = decide([near], CALL)
    assert (verdict.answer, verdict.reserved, verdict.cheaper) == ("soft", True, False)
    (crossed,) = verdict.crossed
    assert (crossed.account, crossed.budget) == (near.id, near.budget)
    assert "80 %" in crossed.detail
    assert "8.000000 USD of 10.000000 USD" in crossed.detail


def test_the_soft_limit_is_told_once() -> None:
    near = account(spent=money(8), is_soft_told=True)
    assert decide([near], CALL) == OK


def test_a_cheaper_model_is_wanted_as_long_as_it_lasts() -> None:
    near = account(spent=money(8), is_soft_told=True, on_soft="cheaper")
    assert decide([near], CALL) == Verdict(answer="soft", cheaper=True)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1.2345", "1.234500"),
        ("0", "0.000000"),
        ("0.0000001", "0.0000001"),
        ("12.3456789012", "12.3456789012"),
        ("1E+3", "1000.000000"),
    ],
)
def test_money_is_written_as_decimal_text(amount: str, text: str) -> None:
    assert money_text(Decimal(amount)) == text
