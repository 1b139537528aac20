"""Markdown tables: pure, from figures to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.bars import Verdict
from benchmarks.figures import (
    Figures,
    Repetition,
    Spread,
    median,
    ratios,
    spread,
    troubles,
    values,
)
from benchmarks.measuring.statements import Tally, shortened
from benchmarks.systems import CORE, SYSTEMS
from benchmarks.works import P99_MS, Case

NAMES = {
    "steps_s": "steps/s",
    "seconds": "seconds",
    "p50_ms": "p50 ms",
}
SMALLER_IS_BETTER = ("seconds", "p50_ms")
NONE = "–"
LONGEST_TROUBLE = 90
MET = {True: "met", False: "**missed**", None: "not measured"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table; the columns after the first are numbers."""
    line = "|---" + "|---:" * (len(head) - 1) + "|"
    body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([f"| {' | '.join(head)} |", line, *body])


def number(value: float | None) -> str:
    """Write three digits that count, and all digits before the point."""
    if value is None:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or not value else "<0.01"


def ranged(found: Spread | None) -> str:
    """Write a median with the least and the most."""
    if found is None:
        return NONE
    if found.least == found.most:
        return number(found.median)
    return f"{number(found.median)} ({number(found.least)}–{number(found.most)})"


def bars(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [each.work, each.name, number(each.value), each.limit, MET[each.met]]
        for each in verdicts
    ]
    return table(("Work", "Bar", "Measured", "Limit", "Verdict"), rows)


def speeds(case: Case, figures: Figures) -> str:
    """Compare the systems in one case; a ratio above 1 is in this system's favour."""
    latency = case.work == "W4"
    name = NAMES[case.figure]
    head = ["System", name, *(["p99 ms"] if latency else []), "this / system", "rounds"]
    rows = []
    for system in SYSTEMS:
        found = values(figures, system.name, case.key, case.figure)
        if not found:
            continue
        tails = values(figures, system.name, case.key, P99_MS)
        rows.append(
            [
                system.title,
                ranged(spread(found.values())),
                *([ranged(spread(tails.values()))] if latency else []),
                NONE if system.name == CORE else ratio(case, figures, system.name),
                str(len(found)),
            ]
        )
    return table(head, rows) if rows else ""


def ratio(case: Case, figures: Figures, peer: str) -> str:
    """Say how many times better this system is, within the same rounds."""
    ours = values(figures, CORE, case.compared_with, case.figure)
    theirs = values(figures, peer, case.key, case.figure)
    pair = (theirs, ours) if case.figure in SMALLER_IS_BETTER else (ours, theirs)
    return ranged(spread(ratios(*pair).values()))


COSTS = {
    "CPU ms": "cpu_ms",
    "PostgreSQL": "cpu_ms:PostgreSQL",
    "Valkey": "cpu_ms:Valkey",
    "client": "cpu_ms:client",
    "commits": "commits",
    "WAL B": "wal_bytes",
    "broker commands": "broker_commands",
    "broker B": "broker_bytes",
    "foreign cores": "foreign_cores",
}
TOTAL, OWN_AT = "cpu_ms", 1
APART = ("cpu_ms:PostgreSQL", "cpu_ms:Valkey", "cpu_ms:client")


def costs(case: Case, figures: Figures) -> str:
    """Tell what a step cost, as medians; `own` is what the system's processes took."""
    head = ["System", *COSTS]
    head.insert(OWN_AT + 1, "own")
    rows = []
    for system in SYSTEMS:
        mine = _of(figures, system.name, case.key)
        if mine:
            cells = [number(_median(mine, key)) for key in COSTS.values()]
            cells.insert(OWN_AT, number(median([_own(each) for each in mine])))
            rows.append([system.title, *cells])
    return table(head, rows) if rows else ""


def memory(case: Case, figures: Figures) -> str:
    """List the memory of each process that was looked at while all waited."""
    rows = []
    for system in SYSTEMS:
        mine = _of(figures, system.name, case.key)
        keys = dict.fromkeys(
            key for each in mine for key in each.figures if key.startswith("memory_mb:")
        )
        for key in keys:
            found = values(figures, system.name, case.key, key).values()
            rows.append([system.title, key.partition(":")[2], ranged(spread(found))])
    return table(("System", "processes", "MB (PSS)"), rows) if rows else ""


def failures(figures: Figures) -> str:
    """List what a system did not do, and why."""
    rows = [
        [system, case, " ".join(why.split())[:LONGEST_TROUBLE].replace("|", "/")]
        for (system, case), why in sorted(troubles(figures).items())
    ]
    return table(("System", "Case", "Why there is no figure"), rows) if rows else ""


def asked(tallies: dict[str, Tally], steps: int) -> str:
    """Count per step what each system asks PostgreSQL."""
    rows = [
        [name, *(number(each / steps) for each in counted)]
        for name, tally in tallies.items()
        for counted in [(tally.count, tally.commits, tally.rollbacks)]
    ]
    head = ("System", "statements/step", "transactions/step", "rolled back/step")
    return table(head, rows) if rows else ""


def top(tally: Tally, steps: int, most: int) -> str:
    """Show the statements that are executed most often, or take longest in all."""
    found = {each.text: each for each in tally.most(most, "count")}
    found |= {each.text: each for each in tally.most(most, "ms")}
    rows = [
        [
            f"`{shortened(text).replace('|', '/')}`",
            number(one.count / steps),
            number(one.ms / steps),
        ]
        for text, one in found.items()
    ]
    return table(("Statement", "per step", "ms per step"), rows)


def _of(figures: Figures, system: str, case: str) -> list[Repetition]:
    wanted = (system, case)
    return [e for e in figures if (e.system, e.case) == wanted and e.figures]


def _own(repetition: Repetition) -> float:
    found = repetition.figures
    return found[TOTAL] - sum(found[key] for key in APART)


def _median(repetitions: Sequence[Repetition], key: str) -> float:
    return median([each.figures[key] for each in repetitions])
