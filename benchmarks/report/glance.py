"""One table of everything that was compared: a work per row, a system per column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.figures import Figures, Spread, spread, values
from benchmarks.report.markdown import NONE, number, table
from benchmarks.report.tables import NAMES, SMALLER_IS_BETTER
from benchmarks.systems import SYSTEMS, System
from benchmarks.works import CASES, Case

Spreads = Mapping[str, Spread]


def glance(figures: Figures) -> str:
    """Show the medians; what some peers do aside is left out."""
    measured = {each.system for each in figures if each.figures}
    systems = [system for system in SYSTEMS if system.name in measured]
    rows = [
        _row(case, systems, found)
        for case in CASES
        if not case.aside and (found := _spreads(case, figures))
    ]
    head = ("Work", "Figure", *(system.title for system in systems))
    return table(head, rows, words=2) if rows else ""


def _spreads(case: Case, figures: Figures) -> Spreads:
    found = {
        system.name: spread(
            values(figures, system.name, case.key, case.figure).values()
        )
        for system in SYSTEMS
    }
    return {name: each for name, each in found.items() if each is not None}


def _row(case: Case, systems: Sequence[System], found: Spreads) -> list[str]:
    best = leader(found, smaller=case.figure in SMALLER_IS_BETTER)
    cells = {name: number(each.median) for name, each in found.items()}
    if best:
        cells[best] = f"**{cells[best]}**"
    shown = [cells.get(system.name, NONE) for system in systems]
    return [f"{case.work}: {case.title}", NAMES[case.figure], *shown]


def leader(found: Spreads, *, smaller: bool) -> str:
    """Name the one whose worst round is better than the best of every other."""
    if len(found) < 2:
        return ""
    by_median = sorted(found, key=lambda name: found[name].median, reverse=not smaller)
    first, *others = by_median
    mine = found[first]
    if smaller:
        clear = all(mine.most < found[name].least for name in others)
    else:
        clear = all(mine.least > found[name].most for name in others)
    return first if clear else ""
