"""The tables of what PostgreSQL was asked for a step."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measuring.statements import Tally, shortened
from benchmarks.report.markdown import number, table
from benchmarks.systems import BY_NAME


def counts(tallies: Mapping[str, Tally], steps: int) -> str:
    """Count per step what each system asks."""
    rows = [
        [BY_NAME[name].title, *(number(each / steps) for each in counted)]
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
