"""What the fields of a budget may hold: each check says what is wrong, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from executions.models.spending import PERIODS, SCOPES
from roles.problems import listing

_MOST_COUNTED = (1 << 63) - 1
_MOST_MONEY = Decimal(100_000_000)


def _choice(*known: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return ""
        return f"This is one of {listing(known)}."

    return check


def _whole(lowest: int, highest: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if type(value) is int and lowest <= value <= highest:
            return ""
        return f"This is a whole number from {lowest} to {highest:,}."

    return check


def _or_null(check: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else check(value)


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else "This is true or false."


def _id(value: Any) -> str:
    try:
        UUID(value)
    except (ValueError, TypeError, AttributeError):
        return "This is the id of what is limited: a UUID."
    return ""


def _money(value: Any) -> str:
    detail = "This is an amount in USD, such as 12.5, with six decimals at most."
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return detail
    try:
        amount = Decimal(str(value))
        fits = amount.is_finite() and 0 <= amount < _MOST_MONEY
        return "" if fits and amount == round(amount, 6) else detail
    except InvalidOperation:
        return detail


CHECKS: Mapping[str, Callable[[Any], str]] = {
    "scope": _choice(*SCOPES),
    "scope_id": _id,
    "period": _choice(*PERIODS),
    "per_execution": _truth,
    "money": _or_null(_money),
    "tokens": _or_null(_whole(0, _MOST_COUNTED)),
    "requests": _or_null(_whole(0, _MOST_COUNTED)),
    "soft_percent": _whole(1, 100),
    "on_soft": _choice("event", "cheaper"),
    "on_hard": _choice("wait", "fail"),
    "is_active": _truth,
}
