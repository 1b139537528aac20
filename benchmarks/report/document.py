"""RESULTS.md: the bars first, then each work with its costs, then the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import works
from benchmarks.bars import Verdict
from benchmarks.figures import Figures
from benchmarks.machine import Machine
from benchmarks.report import tables
from benchmarks.rounds import COUNTED, Results
from benchmarks.systems import BY_NAME
from benchmarks.works import CASES, TITLES, Case

TOP = 5
READING = """\
Each figure is the median of its rounds, with the least and the most in brackets.
"this / system" says how many times better this system did in the same round (above
1 it was better). Costs are per step; "foreign cores" is how much other work the
machine did meanwhile. [README.md](README.md) tells what is measured, and how fairly."""
QUICK = """\
**A quick run: its sizes are far smaller than the titles say, and its figures and
verdicts show only that everything works.**"""
MACHINE = {
    "date": "Date",
    "processor": "Processor",
    "cores": "Cores",
    "memory_gb": "Memory, GB",
    "kernel": "Kernel",
    "python": "Python",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "fsync_ms": "fdatasync of a page, ms",
    "load_before": "Load before the run",
}


def text(
    results: Results,
    machine: Machine,
    verdicts: Sequence[Verdict],
    scaled: Sequence[Mapping[str, Any]],
    *,
    quick: bool,
) -> str:
    parts = [
        "# Benchmark results",
        *([QUICK] if quick else []),
        READING,
        *_skipped(results),
        "## Bars",
        tables.bars(verdicts),
        *_works(results.repetitions),
        *_scaled(scaled),
        *_statements(results),
        *_failures(results.repetitions),
        *_machine(results, machine),
    ]
    return "\n\n".join(parts) + "\n"


def _skipped(results: Results) -> Iterator[str]:
    for name, why in results.skipped.items():
        yield f"**SKIPPED: {name}.** {why}"


def _works(figures: Figures) -> Iterator[str]:
    for work, title in TITLES.items():
        cases = [case for case in CASES if case.work == work]
        parts = [part for case in cases for part in _case(case, figures)]
        if parts:
            yield f"## {work}: {title}"
            yield f"![{work}](plots/{work.lower()}.svg)"
            yield from parts


def _case(case: Case, figures: Figures) -> Iterator[str]:
    speeds = tables.speeds(case, figures)
    if speeds:
        yield f"### {case.title}"
        yield speeds
        if memory := tables.memory(case, figures):
            yield memory
        yield tables.costs(case, figures)


def _scaled(scaled: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Take over the tables of the works that this system does alone."""
    for each in sorted(scaled, key=lambda one: str(one["work"])):
        if found := str(each.get("markdown") or "").strip():
            yield f"## {each['work']}: {each['name']}"
            yield found


def _statements(results: Results) -> Iterator[str]:
    """Tell what a step of a chain asks PostgreSQL; counted apart from any timing."""
    steps = works.steps(COUNTED)
    if results.statements:
        yield "## Statements"
        yield (
            f"One untimed repetition of {COUNTED['executions']} × {COUNTED['length']} "
            "steps, with every statement in the server's log. A transaction is a COMMIT "
            "or a statement outside of one; those of one pipeline may share theirs."
        )
        yield tables.asked(results.statements, steps)
        for name, tally in results.statements.items():
            yield f"### {BY_NAME[name].title}"
            yield tables.top(tally, steps, TOP)


def _failures(figures: Figures) -> Iterator[str]:
    if found := tables.failures(figures):
        yield "## Without a figure"
        yield found


def _machine(results: Results, machine: Machine) -> Iterator[str]:
    described = asdict(machine)
    rows = [[title, _shown(described[key])] for key, title in MACHINE.items()]
    for name, versions in results.versions.items():
        told = ", ".join(f"{what} {which}" for what, which in versions.items())
        rows.append([name, told])
    yield "## Machine and versions"
    yield tables.table(("What", "Which"), rows)


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
