"""
What goes wrong, and when: drawn from the seed alone, before anything runs.

The kinds come in shuffled rounds, so that a few minutes see each of them. Most faults
wait for the one before to be over; some strike into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

# Seconds that each kind lasts: until what it took away is given back.
LASTS: dict[str, tuple[float, float]] = {
    "kill_child": (0, 0),
    "kill_worker": (0.5, 5),
    "deploy": (0, 2),
    "freeze_short": (2, 8),
    "freeze_long": (18, 25),  # beyond the lease of 15 s
    "wipe_valkey": (0, 2),
    "stop_valkey": (3, 12),
    "stop_postgres": (3, 15),
    "kill_reconciler": (1, 8),
    "kill_web": (0.5, 4),
    "duplicate": (2, 4),
}
_ROUND = (*LASTS, "kill_child")
_FIRST_AT = 5.0
_QUIET = (8.0, 15.0)
_OVERLAP = (0.5, 3.0)
_OVERLAPS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`pick` in [0, 1) chooses among those that it may strike."""

    at: float
    kind: str
    seconds: float
    pick: float


def stream(seed: int, purpose: str) -> Random:
    """One purpose's own random numbers, whatever the others draw."""
    return Random(f"{seed}/{purpose}")  # noqa: S311  (to be repeated, not secret)


def faults(seed: int, seconds: float) -> list[Fault]:
    """Plan the faults of a run of so many seconds."""
    random = stream(seed, "faults")
    planned: list[Fault] = []
    at = _FIRST_AT
    for kind in _kinds(random):
        fault = Fault(
            at=round(at, 1),
            kind=kind,
            seconds=round(random.uniform(*LASTS[kind]), 1),
            pick=random.random(),
        )
        if fault.at + fault.seconds > seconds:
            return planned
        planned.append(fault)
        at += _until_the_next(random, fault)
    return planned


def _kinds(random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(_ROUND, len(_ROUND))


def _until_the_next(random: Random, fault: Fault) -> float:
    overlaps = random.random() < _OVERLAPS
    quiet, overlap = random.uniform(*_QUIET), random.uniform(*_OVERLAP)
    return overlap if overlaps else fault.seconds + quiet
