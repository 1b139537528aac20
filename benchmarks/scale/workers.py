"""
How far more processes carry, and what one PostgreSQL will: processor time per step.

On a machine of two cores everything shares them, so the curve bends where they are
full; what each part takes of a step says what it would carry with cores of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measuring import meter
from benchmarks.measuring.counters import settle
from benchmarks.measuring.statements import logged
from benchmarks.scale.findings import Finding, table
from benchmarks.scale.installation import Installation
from config.dev.terminal import say

PROCESSES, QUICK_PROCESSES = (1, 2, 4, 8), (1, 2)
REPETITIONS, QUICK_REPETITIONS = 4, 1
MS = 1000
CALM_CORES = 0.3  # that others may keep busy beside a measurement
LEAST_GAIN = 1.05  # what more processes must bring for the curve to rise still


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Medians of one number of processes, by step."""

    processes: int
    steps_s: float
    costs: Mapping[str, float]
    statements: float

    @property
    def cores(self) -> float:
        """How many cores all of it kept busy."""
        return self.costs["cpu_ms"] * self.steps_s / MS

    @property
    def is_calm(self) -> bool:
        """Tell whether nothing else took part of the machine."""
        return self.costs["foreign_cores"] <= CALM_CORES


def scale(installation: Installation, *, quick: bool) -> Finding:
    """Run W1 with more and more processes."""
    points = []
    for processes in QUICK_PROCESSES if quick else PROCESSES:
        installation.create()
        points.append(_point(installation, processes, quick=quick))
        say(f"  {processes} processes: {points[-1].steps_s:.0f} steps/s")
        installation.drop()
    return finding(points)


def _point(installation: Installation, processes: int, *, quick: bool) -> Point:
    executions = 20 if quick else 200
    request = {"work": "chain", "executions": executions, "length": 10}
    steps, rates, costs = executions * 10, [], []
    servers, name = installation.servers, installation.name
    with installation.driver({"BENCH_PREFORK": str(processes)}) as driver:
        roots = meter.Roots(driver=driver.pid, named=driver.roots, own=os.getpid())
        for _ in range(QUICK_REPETITIONS if quick else REPETITIONS):
            before = meter.Reading.now(servers, name, roots)
            rates.append(steps / driver.ask(request)["seconds"])
            after = meter.Reading.now(servers, name, roots)
            costs.append(meter.figures(before, after, steps))
        settle()
        with logged(servers, name) as found:
            driver.ask(request)
    return Point(
        processes=processes,
        steps_s=median(rates),
        costs={key: median(each[key] for each in costs) for key in costs[0]},
        statements=found[0].count / steps,
    )


INTRODUCTION = """\
The chains of W1 with more and more processes of the cpu worker. The columns from
"workers" to "Valkey" are processor time of a step, in ms; what follows "foreign cores"
is of a step, too."""
HEADS = (
    "Processes",
    "steps/s",
    "workers",
    "PostgreSQL",
    "client",
    "Valkey",
    "cores busy",
    "foreign cores",
    "statements",
    "commits",
    "WAL, bytes",
)


def finding(points: Sequence[Point]) -> Finding:
    rows = [_row(point) for point in points]
    return Finding(
        work="Workers",
        name="How far more processes carry",
        figures={str(each.processes): _figures(each) for each in points},
        markdown=f"{INTRODUCTION}\n\n{table(HEADS, rows)}\n\n{carried(points)}",
    )


def carried(points: Sequence[Point]) -> str:
    """Say what one PostgreSQL carries by itself, as computed from its costs."""
    calm = [each for each in points if each.is_calm]
    if not calm:
        return (
            f"Others kept more than {CALM_CORES} cores busy at every point: nothing "
            f"is computed from them."
        )
    best = max(calm, key=lambda each: each.steps_s)
    cost, log = best.costs["cpu_ms:PostgreSQL"], best.costs["wal_bytes"]
    worker = best.costs["cpu_ms:workers"]
    rate = MS / cost
    return (
        f"{_left_out(points)}{_curve(calm)} "
        f"PostgreSQL takes {cost:.2f} ms of a core for a step: one core of "
        f"it carries {rate:,.0f} steps/s, as computed, and writes "
        f"{rate * log / 1e6:.1f} MB/s of its log then. A step takes {worker:.2f} ms of "
        f"the workers, so that {worker / cost:.1f} cores of workers feed one of "
        f"PostgreSQL."
    )


def bend(points: Sequence[Point]) -> Point | None:
    """Find the point after which more processes bring no more; None if none shows."""
    ordered = sorted(points, key=lambda each: each.processes)
    for number, point in enumerate(ordered[:-1]):
        later = max(each.steps_s for each in ordered[number + 1 :])
        if later < point.steps_s * LEAST_GAIN:
            return point
    return None


def _curve(calm: Sequence[Point]) -> str:
    at = bend(calm)
    if at is not None:
        return (
            f"The curve bends at {at.processes} processes, where {at.cores:.1f} cores "
            f"are busy."
        )
    last = max(calm, key=lambda each: each.processes)
    return (
        f"The curve shows no bend up to {last.processes} processes, where "
        f"{last.cores:.1f} cores are busy."
    )


def _left_out(points: Sequence[Point]) -> str:
    disturbed = [str(each.processes) for each in points if not each.is_calm]
    if not disturbed:
        return ""
    return (
        f"Left out here, because others kept more than {CALM_CORES} cores busy: the "
        f"points of {', '.join(disturbed)} processes. "
    )


def _figures(point: Point) -> dict[str, float]:
    return {
        **point.costs,
        "steps_s": point.steps_s,
        "cores": point.cores,
        "statements": point.statements,
    }


def _row(point: Point) -> list[float | int]:
    costs = point.costs
    return [
        point.processes,
        point.steps_s,
        costs["cpu_ms:workers"],
        costs["cpu_ms:PostgreSQL"],
        costs["cpu_ms:client"],
        costs["cpu_ms:Valkey"],
        point.cores,
        costs["foreign_cores"],
        point.statements,
        costs["commits"],
        costs["wal_bytes"],
    ]
