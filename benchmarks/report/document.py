"""RESULTS.md: all at a glance, the bars, each work with its costs, the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import works
from benchmarks.bars import Verdict
from benchmarks.figures import Figures
from benchmarks.machine import Machine
from benchmarks.report import asked, tables
from benchmarks.report.glance import glance
from benchmarks.report.markdown import brief, folded, table
from benchmarks.rounds import COUNTED, Results
from benchmarks.systems import BY_NAME
from benchmarks.works import CASES, TITLES, Case

TOP, LONGEST_REASON = 5, 300
READING = """\
Each figure is the median of the rounds, with the least and the most in brackets where
they differ. [README.md](README.md) tells what each work is, how fairly the systems
are compared, and how to read the tables."""
GLANCE = """\
Medians: of steps/s more is better, of seconds and ms less. The bold one is better than
all others, even if its worst round is put beside the best of theirs. "–" means
that a system was not given this work, or did not do it."""
BARS = """\
What this project has set itself to reach. A ratio to another system is taken within
each round; the median of the rounds is held against the limit."""
BETTER = """\
"C.O.R.E. better, times" compares it with a peer within the same round: above 1 it was
better, below 1 worse. Costs are per step; "foreign cores" is how much other work the
machine did meanwhile, and "–" stands for a server in which a system has no part."""
ASIDE = """\
Only some systems have this. C.O.R.E. is compared with what it does above, in one
execution."""
COSTS, MEMORY = "What a step costs:", "Memory (PSS) while all wait, in MB:"
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
        "# Benchmark results: C.O.R.E. Orchestration and its peers",
        *([QUICK] if quick else []),
        _when(results, machine),
        *_skipped(results),
        READING,
        *_glance(results.repetitions),
        *_bars(verdicts, results.repetitions),
        *_works(results.repetitions),
        *_scaled(scaled),
        *_statements(results),
        *_failures(results.repetitions),
        *_machine(results, machine),
    ]
    return "\n\n".join(parts) + "\n"


def _when(results: Results, machine: Machine) -> str:
    """Say when and on what, in a line; a section at the end has the rest."""
    rounds = len({each.round for each in results.repetitions})
    counted = f"; {rounds} round{'s' if rounds > 1 else ''}" if rounds else ""
    return (
        f"Measured on {machine.date}: {machine.cores} cores ({machine.processor}), "
        f"{machine.memory_gb:.0f} GB, PostgreSQL {machine.postgres}, "
        f"Valkey {machine.valkey}{counted}. [More](#machine-and-versions)"
    )


def _skipped(results: Results) -> Iterator[str]:
    for name, why in results.skipped.items():
        yield f"**SKIPPED: {name}.** {brief(why, LONGEST_REASON)}"


def _glance(figures: Figures) -> Iterator[str]:
    if found := glance(figures):
        yield "## At a glance"
        yield GLANCE
        yield found


def _bars(verdicts: Sequence[Verdict], figures: Figures) -> Iterator[str]:
    """Order the bars by works, without those that nobody was asked for."""
    tried = {case.work for case in CASES for each in figures if each.case == case.key}
    shown = [each for each in verdicts if each.met is not None or each.work in tried]
    if shown:
        yield "## Bars"
        yield BARS
        yield tables.bars(sorted(shown, key=lambda each: _place(each.work)))


def _works(figures: Figures) -> Iterator[str]:
    begin = [BETTER]
    for work, title in TITLES.items():
        cases = [case for case in CASES if case.work == work]
        parts = [part for case in cases for part in _case(case, figures)]
        if parts:
            yield f"## {work}: {title}"
            yield from begin
            begin = []
            yield f"![{work}](plots/{work.lower()}.svg)"
            yield from parts


def _case(case: Case, figures: Figures) -> Iterator[str]:
    speeds = tables.speeds(case, figures)
    if speeds:
        yield f"### {'Aside: ' if case.aside else ''}{case.title}"
        if case.aside:
            yield ASIDE
        yield speeds
        if memory := tables.memory(case, figures):
            yield MEMORY
            yield memory
        yield COSTS
        yield tables.costs(case, figures)


def _scaled(scaled: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Take over the tables of the works that this system does alone."""
    for each in sorted(scaled, key=lambda one: _place(str(one["work"]))):
        if found := str(each.get("markdown") or "").strip():
            yield f"## {each['work']}: {each['name']}"
            yield found


def _place(work: str) -> tuple[bool, int, str]:
    """Order works by their numbers, and those that have none after them."""
    number = work.removeprefix("W").partition(" ")[0]
    return not number.isdigit(), int(number) if number.isdigit() else 0, work


def _statements(results: Results) -> Iterator[str]:
    """Tell what a step of a chain asks PostgreSQL; counted apart from any timing."""
    steps = works.steps(COUNTED)
    if results.statements:
        yield "## SQL statements"
        yield (
            f"One untimed repetition of {COUNTED['executions']} × {COUNTED['length']} "
            "steps, with every statement in the server's log. A transaction is a COMMIT "
            "or a statement outside of one; those of one pipeline may share theirs."
        )
        yield asked.counts(results.statements, steps)
        for name, tally in results.statements.items():
            title = f"{BY_NAME[name].title}: the most frequent and the longest"
            yield folded(title, asked.top(tally, steps, TOP))


def _failures(figures: Figures) -> Iterator[str]:
    if found := tables.failures(figures):
        yield "## Without a figure"
        yield found


def _machine(results: Results, machine: Machine) -> Iterator[str]:
    described = asdict(machine)
    rows = [[title, _shown(described[key])] for key, title in MACHINE.items()]
    for name, versions in results.versions.items():
        told = ", ".join(f"{what} {which}" for what, which in versions.items())
        rows.append([BY_NAME[name].title, told])
    yield "## Machine and versions"
    yield table(("What", "Which"), rows, words=2)


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
