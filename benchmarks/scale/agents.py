"""
W10: many agents at once on one io worker, while their provider thinks.

The provider takes the same time for every answer, so that what is above it is this
system's own: sending, hearing, and putting on record what was said and what it cost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import provider
from benchmarks.measuring import meter
from benchmarks.scale.findings import Finding, at_most, table
from benchmarks.scale.installation import Installation
from config.dev.terminal import say

COUNT, QUICK_COUNT, THINKING_S = 300, 30, 2.0
REPETITIONS, QUICK_REPETITIONS = 5, 1
MOST_S, MOST_MB = 4.0, 300.0
SHAPES = {"group": "one group, posted", "executions": "executions, launched together"}
INTRODUCTION = """\
{count} steps of agents at once, as one parallel group and as executions of one step, on
one io worker. Each asks a model over HTTP once, whose provider answers after
{thinking:g} s. "Seconds" are the client's, from its request until all are seen to be
completed, and "by the record" those from the first creation to the last end. Figures
are medians of {runs} runs after one that is not measured; processor time is of a step,
and the peak is the io worker's since its start."""
HEADS = (
    "Steps",
    "seconds",
    "least",
    "most",
    "by the record",
    "workers, ms",
    "PostgreSQL, ms",
    "foreign cores",
    "peak, MB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one shape; costs are by step."""

    seconds: float
    recorded_seconds: float
    peak_mb: float
    costs: Mapping[str, float]


def crowd(installation: Installation, *, quick: bool) -> Finding:
    """Run both shapes in turn, again and again."""
    count = QUICK_COUNT if quick else COUNT
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    runs: dict[str, list[Run]] = {shape: [] for shape in SHAPES}
    guard = installation.servers.guard
    installation.create()
    with (
        provider.running(guard, seconds=THINKING_S) as url,
        installation.driver() as driver,
    ):
        for number in range(repetitions + 1):
            for shape in SHAPES:
                request = {"work": "agents", "url": url, "shape": shape, "count": count}
                run = _run(installation, driver, request)
                say(f"  W10 {shape}: {run.seconds:.2f} s, {run.peak_mb:.0f} MB")
                if number:
                    runs[shape].append(run)
    installation.drop()
    return finding(runs, count)


def _run(installation: Installation, driver: Any, request: Mapping[str, Any]) -> Run:
    servers, name = installation.servers, installation.name
    roots = meter.Roots(driver=driver.pid, named=driver.roots, own=os.getpid())
    before = meter.Reading.now(servers, name, roots)
    answer = driver.ask(request)
    after = meter.Reading.now(servers, name, roots)
    if "seconds" not in answer:
        raise RuntimeError(f"The agents gave no figures: {answer}")
    return Run(
        seconds=answer["seconds"],
        recorded_seconds=answer["recorded_seconds"],
        peak_mb=answer["peak_mb"],
        costs=meter.figures(before, after, request["count"]),
    )


def finding(runs: Mapping[str, Sequence[Run]], count: int) -> Finding:
    """Hold each shape's median, and the greatest peak of all, against the bars."""
    peak = max(run.peak_mb for each in runs.values() for run in each)
    seconds = {shape: median(run.seconds for run in runs[shape]) for shape in runs}
    told = INTRODUCTION.format(
        count=count, thinking=THINKING_S, runs=min(map(len, runs.values()))
    )
    rows = [_row(SHAPES[shape], runs[shape]) for shape in runs]
    limits = [
        at_most(f"{count} agents, {SHAPES[shape]}: seconds", seconds[shape], MOST_S)
        for shape in runs
    ]
    memory = at_most(f"{count} agents: MB of the io worker", peak, MOST_MB)
    return Finding(
        work="W10",
        name="Many agents at once",
        figures={
            "seconds": {shape: [run.seconds for run in runs[shape]] for shape in runs},
            "peak_mb": peak,
        },
        markdown=f"{told}\n\n{table(HEADS, rows)}",
        bars=(*limits, memory),
    )


def _row(title: str, runs: Sequence[Run]) -> list[str | float]:
    seconds = [run.seconds for run in runs]
    costs = ("cpu_ms:workers", "cpu_ms:PostgreSQL", "foreign_cores")
    return [
        title,
        median(seconds),
        min(seconds),
        max(seconds),
        median(run.recorded_seconds for run in runs),
        *(median(run.costs[key] for run in runs) for key in costs),
        max(run.peak_mb for run in runs),
    ]
