"""
What is wrong, where, and what to do about it: the form of every complaint.

Positions are JSON pointers (RFC 6901) into the document as the user sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

MAX_CANDIDATES = 2_000
SHOWN_NAMES = 8
SHOWN_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: a JSON pointer, a snake_case code and an English sentence."""

    pointer: str
    code: str
    detail: str


class InvalidDocument(ValueError):
    """A document is wrong; `problems` lists every fault with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(self._summary())

    def _summary(self) -> str:
        first = self.problems[0]
        more = len(self.problems) - 1
        tail = f" ({more} more)" if more else ""
        return f"{first.pointer or 'The document'}: {first.detail}{tail}"


def child(pointer: str, *segments: str | int) -> str:
    """Extend a JSON pointer, escaping what RFC 6901 wants escaped."""
    for segment in segments:
        name = str(segment).replace("~", "~0").replace("/", "~1")
        pointer = f"{pointer}/{name}"
    return pointer


def nearest(name: str, candidates: Iterable[object]) -> str | None:
    """Find the existing name that `name` was probably meant to be."""
    names = [str(each) for each in islice(candidates, MAX_CANDIDATES)]
    wanted = shorten(name)
    folded = {each.casefold(): each for each in reversed(names)}
    found = get_close_matches(wanted.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[object]) -> str:
    """Say ` Did you mean 'x'?`, or nothing when no name comes near."""
    found = nearest(name, candidates)
    return "" if found is None else f" Did you mean {quoted(found)}?"


def listing(names: Iterable[object]) -> str:
    """Name the first few, and say so when there are more."""
    shown = [shorten(str(name)) for name in islice(names, SHOWN_NAMES + 1)]
    more = ", ..." if len(shown) > SHOWN_NAMES else ""
    return ", ".join(shown[:SHOWN_NAMES]) + more


def quoted(name: object) -> str:
    return repr(shorten(str(name)))


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def kind_of(value: object) -> str:
    """Name a JSON value's type in the words of the error messages."""
    names = {bool: "a boolean", str: "text", int: "a number", float: "a number"}
    if value is None:
        return "null"
    for type_, name in names.items():
        if isinstance(value, type_):
            return name
    return "a list" if isinstance(value, list | tuple) else "an object"
