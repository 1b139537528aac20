"""Whether a call fits into its budgets: decided from figures, without a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

Answer = Literal["ok", "soft", "wait", "exhausted", "unpriced"]
OnHard = Literal["wait", "fail"]

# How soon a call may ask again that others, who may settle for less, leave no room for.
WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Money in USD, None where a price is unknown, tokens and requests."""

    money: Decimal | None = None
    tokens: int | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A budget's account, under its lock; limits that are None do not count."""

    id: UUID
    budget: UUID
    title: str  # such as "role Researcher"
    period: str
    limits: Amounts
    spent: Amounts
    reserved: Amounts
    live: int  # reservations of calls that may still settle for less
    soft_percent: int
    on_soft: str
    on_hard: OnHard
    is_soft_told: bool
    renews_in_s: float | None  # None: it never does


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A budget whose soft limit is reached for the first time, in words."""

    account: UUID
    budget: UUID
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What came of asking for room in all budgets at once.

    `ok` and `soft` have reserved. Of `soft` either something was `crossed`, which is
    told once, or a `cheaper` model is wanted. `wait` is to ask again after `after_s`.
    `exhausted` and `unpriced` name the `budget` and what it does `on_hard`; the first
    has in `after_s` when its period is over, if it has one.
    """

    answer: Answer
    detail: str = ""
    after_s: float | None = None
    budget: UUID | None = None
    on_hard: OnHard = "wait"
    crossed: tuple[Crossing, ...] = ()
    cheaper: bool = False

    @property
    def reserved(self) -> bool:
        return self.answer in ("ok", "soft")


OK = Verdict(answer="ok")


def decide(accounts: Sequence[Account], wanted: Amounts) -> Verdict:
    """
    Judge a call that comes to `wanted` at most.

    What does not fit beside the calls under way, and would without them, waits for
    them. What is reserved for calls that nobody will settle counts as spent.
    """
    if refusal := _unpriced(accounts, wanted):
        return refusal
    lacking = [(each, name) for each in accounts for name in _lacking(each, wanted)]
    ends = [(each, name) for each, name in lacking if not _may_wait(each, name, wanted)]
    if ends:
        each, name = min(ends, key=lambda end: (end[0].on_hard != "fail", end[0].id))
        return Verdict(
            answer="exhausted",
            detail=_shortage(each, name, wanted),
            after_s=each.renews_in_s,
            budget=each.budget,
            on_hard=each.on_hard,
        )
    if lacking:
        each, name = lacking[0]
        detail = f"{_shortage(each, name, wanted)} Calls under way may leave some."
        return Verdict(answer="wait", detail=detail, after_s=WAIT_S, budget=each.budget)
    return _granted(accounts, wanted)


def _unpriced(accounts: Sequence[Account], wanted: Amounts) -> Verdict | None:
    limited = [each for each in accounts if each.limits.money is not None]
    if wanted.money is not None or not limited:
        return None
    each = min(limited, key=lambda one: (one.on_hard != "fail", one.id))
    return Verdict(
        answer="unpriced",
        detail=f"The budget of {each.title} limits money, and the price of the model is "
        "unknown; set the model's prices in the catalogue, or choose another model.",
        budget=each.budget,
        on_hard=each.on_hard,
    )


def _lacking(account: Account, wanted: Amounts) -> Iterator[str]:
    """Name what the call would take more of than there is."""
    for name, limit, spent, reserved, more in _figures(account, wanted):
        if spent + reserved + more > limit:
            yield name


def _may_wait(account: Account, lacking: str, wanted: Amounts) -> bool:
    for name, limit, spent, _reserved, more in _figures(account, wanted):
        if name == lacking:
            return account.live > 0 and spent + more <= limit
    return False


def _figures(
    account: Account, wanted: Amounts
) -> Iterator[tuple[str, Decimal, Decimal, Decimal, Decimal]]:
    """Go through what is limited: its name, the limit, spent, reserved, wanted."""
    for name in ("money", "tokens", "requests"):
        limit = getattr(account.limits, name)
        if limit is not None:
            spent, reserved, more = (
                Decimal(getattr(each, name) or 0)
                for each in (account.spent, account.reserved, wanted)
            )
            yield name, Decimal(limit), spent, reserved, more


def _granted(accounts: Sequence[Account], wanted: Amounts) -> Verdict:
    soft = [each for each in accounts if _is_soft(each, wanted)]
    crossed = tuple(
        Crossing(account=each.id, budget=each.budget, detail=_softly(each, wanted))
        for each in soft
        if not each.is_soft_told
    )
    cheaper = any(each.on_soft == "cheaper" for each in soft)
    if not crossed and not cheaper:
        return OK
    detail = " ".join(each.detail for each in crossed)
    return Verdict(answer="soft", detail=detail, crossed=crossed, cheaper=cheaper)


def _is_soft(account: Account, wanted: Amounts) -> bool:
    part = Decimal(account.soft_percent) / 100
    return any(
        spent + reserved + more >= limit * part
        for _, limit, spent, reserved, more in _figures(account, wanted)
    )


def _softly(account: Account, wanted: Amounts) -> str:
    parts = (
        f"{_said(name, spent + reserved + more)} of {_said(name, limit)}"
        for name, limit, spent, reserved, more in _figures(account, wanted)
    )
    return (
        f"The budget of {account.title} has reached {account.soft_percent} %, with what "
        f"is under way: {', '.join(parts)}."
    )


def _shortage(account: Account, lacking: str, wanted: Amounts) -> str:
    for name, limit, spent, reserved, more in _figures(account, wanted):
        if name == lacking:
            period = "" if account.period == "total" else f" for the {account.period}"
            return (
                f"The budget of {account.title}{period} is {_said(name, limit)}: "
                f"{_said(name, spent)} spent, {_said(name, reserved)} reserved, and the "
                f"call may take {_said(name, more)}. Raise the budget to go on."
            )
    return ""


def _said(name: str, amount: Decimal) -> str:
    if name == "money":
        return f"{money_text(amount)} USD"
    return f"{amount:,.0f} {name}"


def money_text(amount: Decimal) -> str:
    """Write an amount with six decimals, and more where it has more."""
    whole, _, decimals = f"{amount:.10f}".partition(".")
    return f"{whole}.{decimals[:6]}{decimals[6:].rstrip('0')}"
