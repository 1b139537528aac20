"""What a work at scale found: figures, verdicts on bars, and a text of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How many executions the databases with a small and a great past hold."""

    few: int
    many: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A value against its limit."""

    name: str
    value: float
    limit: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One part of a work's report."""

    work: str
    name: str
    figures: Mapping[str, Any]
    markdown: str
    bars: Sequence[Judged] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "bars": [asdict(bar) for bar in self.bars]}


def at_most(name: str, value: float, limit: float) -> Judged:
    return Judged(name=name, value=value, limit=f"≤ {limit:g}", met=value <= limit)


def at_least(name: str, value: float, limit: float) -> Judged:
    return Judged(name=name, value=value, limit=f"≥ {limit:g}", met=value >= limit)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a Markdown table; the first column is text and the others are numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def folded(title: str, text: str) -> str:
    """Hide what few will read below a title that opens it."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def last_line(message: str) -> str:
    """Return what tells most of a message that may be a process's whole traceback."""
    return (message.strip().splitlines() or [""])[-1].replace("|", "/")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
