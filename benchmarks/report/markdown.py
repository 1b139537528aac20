"""Markdown, and how numbers are written in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import Spread

NONE = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Make a table; the columns after the first `words` are numbers."""
    line = "|---" * words + "|---:" * (len(head) - words) + "|"
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
    """Write a median with the least and the most, unless they look the same."""
    if found is None:
        return NONE
    middle, least, most = map(number, (found.median, found.least, found.most))
    return middle if least == most else f"{middle} ({least}–{most})"


def folded(title: str, text: str) -> str:
    """Hide what few will read below a title that opens it."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def brief(text: str, longest: int) -> str:
    """Make one line of a message; of a long one the end tells most."""
    line = " ".join(text.split()).replace("|", "/")
    if len(line) <= longest:
        return line
    begin = longest // 3
    return f"{line[:begin]} ... {line[begin - longest :]}"
