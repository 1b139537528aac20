"""The tables of what was compared: pure, from figures to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from benchmarks.report.markdown import NONE, brief, number, ranged, table
from benchmarks.systems import BY_NAME, CORE, SYSTEMS, System
from benchmarks.works import BY_KEY, P99_MS, Case

NAMES = {
    "steps_s": "steps/s",
    "seconds": "seconds",
    "p50_ms": "p50, ms",
}
SMALLER_IS_BETTER = ("seconds", "p50_ms")
LONGEST_TROUBLE = 120
MET = {True: "met", False: "**missed**", None: "not measured"}
MEMORY, ALL_MEMORY = "memory_mb:", "memory_mb:all"


def bars(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [each.work, each.name, MET[each.met], number(each.value), each.limit]
        for each in verdicts
    ]
    return table(("Work", "Bar", "Verdict", "Measured", "Limit"), rows, words=3)


def speeds(case: Case, figures: Figures) -> str:
    """Compare the systems in one case; a ratio above 1 is in this system's favour."""
    tail = ["p99, ms"] if case.work == "W4" else []
    head = ["System", NAMES[case.figure], *tail, "C.O.R.E. better, times", "rounds"]
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
                *([ranged(spread(tails.values()))] if tail else []),
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
    "CPU, ms": "cpu_ms",
    "PostgreSQL": "cpu_ms:PostgreSQL",
    "Valkey": "cpu_ms:Valkey",
    "client": "cpu_ms:client",
    "commits": "commits",
    "WAL, bytes": "wal_bytes",
    "broker commands": "broker_commands",
    "broker, bytes": "broker_bytes",
    "foreign cores": "foreign_cores",
}
# A server that a system does not use still has work of its own, and the meter's.
OF_SERVER = {
    "PostgreSQL": ("cpu_ms:PostgreSQL", "commits", "wal_bytes"),
    "Valkey": ("cpu_ms:Valkey", "broker_commands", "broker_bytes"),
}
TOTAL, OWN, OWN_AT = "cpu_ms", "of it: own", 1
APART = ("cpu_ms:PostgreSQL", "cpu_ms:Valkey", "cpu_ms:client")


def costs(case: Case, figures: Figures) -> str:
    """Tell what a step cost, as medians; `own` is what the system's processes took."""
    head = ["System", *COSTS]
    head.insert(OWN_AT + 1, OWN)
    rows = [
        [system.title, *_costs(system, mine)]
        for system in SYSTEMS
        if (mine := _of(figures, system.name, case.key))
    ]
    return table(head, rows) if rows else ""


def _costs(system: System, mine: Sequence[Repetition]) -> Iterator[str]:
    unused = {key for server in system.without for key in OF_SERVER[server]}
    for place, key in enumerate(COSTS.values()):
        if place == OWN_AT:
            yield number(median([_own(each) for each in mine]))
        yield NONE if key in unused else number(_median(mine, key))


def memory(case: Case, figures: Figures) -> str:
    """Tell what memory each system took while all waited, and its processes."""
    rows = [
        [system.title, _parts(mine), ranged(_spread(mine, ALL_MEMORY))]
        for system in SYSTEMS
        if (mine := _of(figures, system.name, case.key)) and _spread(mine, ALL_MEMORY)
    ]
    return table(("System", "Processes", "MB in all"), rows, words=2) if rows else ""


def _parts(mine: Sequence[Repetition]) -> str:
    """List roles, whose processor time is known, and then one process among them."""
    keys = dict.fromkeys(key for each in mine for key in each.figures)
    names = [key.removeprefix(MEMORY) for key in keys if key.startswith(MEMORY)]
    parts = {
        name: f"{name} {number(_median(mine, MEMORY + name))}"
        for name in names
        if MEMORY + name != ALL_MEMORY
    }
    roles = [text for name, text in parts.items() if f"cpu_ms:{name}" in keys]
    within = [text for name, text in parts.items() if f"cpu_ms:{name}" not in keys]
    return ", ".join(roles) + (f" (of them {', '.join(within)})" if within else "")


def failures(figures: Figures) -> str:
    """List what a system did not do, and why."""
    rows = [
        [
            BY_NAME[system].title,
            f"{BY_KEY[case].work}: {BY_KEY[case].title}",
            brief(why, LONGEST_TROUBLE),
        ]
        for (system, case), why in sorted(troubles(figures).items())
    ]
    head = ("System", "Work", "Why there is no figure")
    return table(head, rows, words=3) if rows else ""


def _of(figures: Figures, system: str, case: str) -> list[Repetition]:
    wanted = (system, case)
    return [e for e in figures if (e.system, e.case) == wanted and e.figures]


def _own(repetition: Repetition) -> float:
    found = repetition.figures
    return found[TOTAL] - sum(found[key] for key in APART)


def _spread(repetitions: Sequence[Repetition], key: str) -> Spread | None:
    return spread([e.figures[key] for e in repetitions if key in e.figures])


def _median(repetitions: Sequence[Repetition], key: str) -> float:
    return median([e.figures[key] for e in repetitions if key in e.figures])
