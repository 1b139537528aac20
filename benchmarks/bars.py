"""
The bars: what this system has set itself to reach, as data.

A ratio is taken within a round, so that both sides had the machine in the same
state; the bar is for the median of the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figures, median, ratios, values
from benchmarks.systems import CORE
from benchmarks.works import P50_MS, P99_MS, SECONDS, STEPS_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One figure of one system in one case."""

    case: str
    figure: str
    system: str = CORE

    def values(self, figures: Figures) -> dict[int, float]:
        return values(figures, self.system, self.case, self.figure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`left` itself, or its ratio to `right`, against a limit."""

    text: str
    left: Side
    limit: float
    right: Side | None = None
    at_least: bool = False

    def value(self, figures: Figures) -> float | None:
        """Return the median over the rounds; None if it was not measured."""
        left = self.left.values(figures)
        rounds = ratios(left, self.right.values(figures)) if self.right else left
        return median(rounds.values()) if rounds else None

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`met` is None where a side of the bar was not measured."""

    work: str
    name: str
    value: float | None
    limit: str
    met: bool | None


def judged(figures: Figures) -> list[Verdict]:
    return [_judged(bar, bar.value(figures)) for bar in BARS]


def _judged(bar: Bar, value: float | None) -> Verdict:
    return Verdict(
        work=bar.left.case.partition("/")[0],
        name=bar.text,
        value=value,
        limit=f"{'≥' if bar.at_least else '≤'} {bar.limit:g}",
        met=None if value is None else bar.met(value),
    )


def read(entries: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Take over the verdicts that a work of another kind has reached itself."""
    return [
        Verdict(
            work=str(entry["work"]),
            name=str(bar["name"]),
            value=float(bar["value"]),
            limit=str(bar["limit"]),
            met=bar["met"],
        )
        for entry in entries
        for bar in entry.get("bars", ())
    ]


def _faster(case: str, peer: str, limit: float, text: str, of: str = "") -> Bar:
    return Bar(
        text=text,
        left=Side(case=case, figure=STEPS_S),
        right=Side(case=of or case, figure=STEPS_S, system=peer),
        limit=limit,
        at_least=True,
    )


def _at_most(case: str, figure: str, limit: float, text: str) -> Bar:
    return Bar(text=text, left=Side(case=case, figure=figure), limit=limit)


def _sooner(case: str, peer: str, text: str) -> Bar:
    return Bar(
        text=text,
        left=Side(case=case, figure=P50_MS),
        right=Side(case="W4/launch", figure=P50_MS, system=peer),
        limit=1,
    )


IO_MEMORY = "memory_mb:io worker"
BARS = (
    _faster("W1", "celery-redis", 3, "steps/s over Celery with Valkey"),
    _faster("W1", "restate", 1.2, "steps/s over Restate"),
    _faster("W1", "dbos", 5, "steps/s over DBOS"),
    _faster("W2/100", "restate", 1, "100 wide: steps/s over Restate, in one handler"),
    _faster("W2/100", "celery-redis", 3, "100 wide: steps/s over Celery's chord"),
    _faster("W2/1000", "restate", 2, "1,000 wide: steps/s over Restate"),
    _faster("W2/1000", CORE, 1, "steps/s 1,000 wide over those 100 wide", "W2/100"),
    _at_most("W3/200", SECONDS, 2.5, "200 waiting: seconds"),
    _at_most("W3/200", IO_MEMORY, 150, "200 waiting: MB of the io worker"),
    _at_most("W3/1000", SECONDS, 4, "1,000 waiting: seconds"),
    _at_most("W3/1000", IO_MEMORY, 250, "1,000 waiting: MB of the io worker"),
    _at_most("W4/launch", P50_MS, 10, "from launch: p50, ms"),
    _at_most("W4/post", P50_MS, 18, "from POST: p50, ms"),
    _at_most("W4/post", P99_MS, 40, "from POST: p99, ms"),
    _sooner("W4/launch", "dbos", "from launch: p50 over that of DBOS"),
    _sooner("W4/launch", "restate", "from launch: p50 over that of Restate"),
    _sooner("W4/post", "dbos", "from POST: p50 over that of DBOS from a function call"),
    _sooner(
        "W4/post", "restate", "from POST: p50 over that of Restate, from POST, too"
    ),
    _faster("W5/10000", CORE, 0.9, "steps/s in 10,000 over those in 500", "W5/500"),
    _faster("W5/500", "restate", 2, "500 steps: steps/s over Restate"),
    _faster("W5/5000", "restate", 2, "5,000 steps: steps/s over Restate"),
)
