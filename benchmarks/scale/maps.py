"""W6: a map of many items, a window of them at a time: its pace, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.scale.findings import Finding, table
from benchmarks.scale.installation import Installation
from config.dev.terminal import say

ITEMS, QUICK_ITEMS, WARM_ITEMS, WINDOW = 10_000, 300, 200, 100
REPETITIONS, QUICK_REPETITIONS = 3, 1
INTRODUCTION = """\
A map of {items:,} items, {window} of them under way at a time, each a step that does
nothing. Figures are medians of {runs} runs after a small one that is not measured; a
peak is the most that one process of a worker has had in memory since its start."""
HEADS = ("Items", "items/s", "least", "most", "cpu worker, MB", "io worker, MB")


def run(installation: Installation, *, quick: bool) -> Finding:
    """Map once for nothing, and then for the figures."""
    items = QUICK_ITEMS if quick else ITEMS
    answers = []
    installation.create()
    with installation.driver() as driver:
        driver.ask({"work": "map", "items": WARM_ITEMS, "window": WINDOW})
        for _ in range(QUICK_REPETITIONS if quick else REPETITIONS):
            answer = driver.ask({"work": "map", "items": items, "window": WINDOW})
            if "seconds" not in answer:
                raise RuntimeError(f"The map gave no figures: {answer}")
            say(f"  W6: {items / answer['seconds']:.0f} items/s")
            answers.append(answer)
    installation.drop()
    return finding(answers, items)


def finding(answers: Sequence[Mapping[str, Any]], items: int) -> Finding:
    rates = [items / answer["seconds"] for answer in answers]
    names = list(answers[0]["peak_mb"])
    peaks = {name: max(answer["peak_mb"][name] for answer in answers) for name in names}
    told = INTRODUCTION.format(items=items, window=WINDOW, runs=len(answers))
    row = [items, median(rates), min(rates), max(rates), *peaks.values()]
    return Finding(
        work="W6",
        name="A map of many items",
        figures={"items_s": rates, "peak_mb": peaks},
        markdown=f"{told}\n\n{table(HEADS, [row])}",
    )
