"""
The periods that step runs and events are partitioned by; nothing here asks anybody.

A UUIDv7 begins with its moment, and a step run's id with its execution's: so a period
is a range of ids, and all rows of an execution lie in the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

FIRST = "first"  # what was there before there were periods
REST = "rest"  # what no period takes
AHEAD = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The ids from `low` up to and without `high`; partitions end in `name`."""

    name: str
    low: UUID
    high: UUID

    def __contains__(self, execution_id: UUID) -> bool:
        return self.low <= execution_id < self.high

    @property
    def is_dated(self) -> bool:
        """Tell whether its rows leave together, and not one by one."""
        return self.name != FIRST


def first_id(moment: datetime) -> UUID:
    """Return the lowest UUIDv7 of a moment: ids made before it are lower."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def moment_of(first: UUID) -> datetime:
    """Return the moment that an id begins with."""
    return _EPOCH + timedelta(milliseconds=first.int >> 80)


def until(high: UUID) -> Period:
    """Return the period of all that was there before the others."""
    return Period(name=FIRST, low=_LOWEST, high=high)


def boundary(moment: datetime, days: int) -> datetime:
    """Return the last midnight, at or before a moment, that a period may begin at."""
    return moment - (moment - _EPOCH) % timedelta(days=days)


def coming(known: Sequence[Period], now: datetime, *, days: int) -> Iterator[Period]:
    """
    Yield the periods that are to be made, up to AHEAD of the one of `now`.

    They begin where the last one ends. A time in which none were made stays without.
    """
    start = boundary(now, days)
    end = start + (1 + AHEAD) * timedelta(days=days)
    start = max([start, *(moment_of(period.high) for period in known)])
    while start < end:
        next_start = boundary(start, days) + timedelta(days=days)
        yield Period(
            name=f"{start:%Y%m%d}", low=first_id(start), high=first_id(next_start)
        )
        start = next_start
