"""Sums of what was spent, in the words that every interface uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from executions.spending.verdicts import money_text

NUMBERS = (
    "requests",
    "tool_calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What calls took together; `cost` is of those whose price is known."""

    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    unpriced_requests: int = 0

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Usage:
        """Take the figures from a row of sums."""
        return cls(**{each.name: row[each.name] for each in fields(cls)})

    def shown(self) -> dict[str, Any]:
        """
        Write it as JSON: money as decimal text in USD, null if no price is known.

        What it came to beyond that is unknown if there are `unpriced_requests`.
        """
        cost = self.cost
        if cost is None and not self.unpriced_requests:
            cost = Decimal(0)
        return {
            **{name: getattr(self, name) for name in NUMBERS},
            "cost": None if cost is None else money_text(cost),
            "unpriced_requests": self.unpriced_requests,
        }


def together(parts: Iterable[Usage]) -> Usage:
    """Add up."""
    kept = list(parts)
    costs = [each.cost for each in kept if each.cost is not None]
    return Usage(
        **{name: sum(getattr(each, name) for each in kept) for name in NUMBERS},
        cost=sum(costs, Decimal(0)) if costs else None,
        unpriced_requests=sum(each.unpriced_requests for each in kept),
    )
