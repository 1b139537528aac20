"""
W9: whether a past slows the present down.

The same chains on an empty database and on one with a history, in alternation: both
installations are up on the same servers, and one of them at a time is at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from benchmarks.scale.findings import Finding, Past, at_least, table
from benchmarks.scale.installation import Installation
from config.dev.terminal import say

LEAST = 0.9
WIDEST = 0.2  # between the least and the most of one database's runs, of their median
ROUNDS, QUICK_ROUNDS = 7, 2
INTRODUCTION = """\
The chains of W1 in alternation on an empty database and on one with a past. Figures
are medians of the runs on each, and the bar is for their ratio."""
HEADS = ("Database", "steps/s", "least", "most")
Rates = Mapping[str, list[float]]


def compare(
    empty: Installation, grown: Installation, past: Past, *, quick: bool
) -> Finding:
    """Run W1 on both; the bar is for the ratio of the medians."""
    executions, rounds = (20, QUICK_ROUNDS) if quick else (200, ROUNDS)
    request = {"work": "chain", "executions": executions, "length": 10}
    rates: dict[str, list[float]] = {empty.name: [], grown.name: []}
    with empty.driver() as first, grown.driver() as second:
        pair = [(empty.name, first), (grown.name, second)]
        for number in range(rounds):
            for name, driver in pair[:: -1 if number % 2 else 1]:
                answer = driver.ask(request)
                rates[name].append(executions * 10 / answer["seconds"])
            say(f"  W9 {number + 1}: { ({k: round(v[-1]) for k, v in rates.items()}) }")
    return finding(rates, empty.name, grown.name, past)


def finding(rates: Rates, empty: str, grown: str, past: Past) -> Finding:
    ratio = median(rates[grown]) / median(rates[empty])
    titles = {empty: "empty", grown: f"{past.many:,} past executions"}
    rows = [
        [titles[name], median(rates[name]), min(rates[name]), max(rates[name])]
        for name in (empty, grown)
    ]
    return Finding(
        work="W9",
        name="Chains on a database with a past",
        figures={"ratio": ratio, "steps_s": {k: list(v) for k, v in rates.items()}},
        markdown=f"{INTRODUCTION}\n\n{table(HEADS, rows)}{_doubt(rates)}",
        bars=(at_least("steps/s over those on an empty database", ratio, LEAST),),
    )


def _doubt(rates: Rates) -> str:
    """Say so when single runs differ by more than what the bar is about."""
    spread = max((max(each) - min(each)) / median(each) for each in rates.values())
    if spread <= WIDEST:
        return ""
    return (
        f"\n\nSingle runs of one database differ by up to {spread:.0%}: the machine "
        f"was not quiet, and the ratio is no better than that."
    )
