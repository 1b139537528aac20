"""
What steps are called: the keys that were given, and those made of names.

Anything may be asked about here, faulty documents included.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

KEY_LENGTH = 64
KEY_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What templates read under a name of its own.
RESERVED_KEYS = frozenset(
    {"context", "errors", "failure", "index", "input", "item", "loop", "output"}
)
_END = object()


def step_keys(steps: Any) -> list[str]:
    """
    Give every step's key, nested ones included, in the order as sent.

    A step without a key gets its name's slug, numbered until it is unique. Anything
    that is not a step is passed over, so this can be asked about faulty documents.
    """
    nested = list(walk(steps))
    taken = {step["key"] for step in nested if isinstance(step.get("key"), str)}
    slugs = _FreeSlugs(taken | RESERVED_KEYS)
    return [
        step["key"] if isinstance(step.get("key"), str) else slugs.take(step)
        for step in nested
    ]


def walk(steps: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of any depth in the order as sent, a body after its step."""
    waiting = [iter(_listed(steps))]
    while waiting:
        step = next(waiting[-1], _END)
        if step is _END:
            waiting.pop()
        elif isinstance(step, Mapping):
            yield step
            waiting.append(iter(_listed(step.get("steps"))))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


class _FreeSlugs:
    """Hands out each name's slug once, then with the next free number."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def take(self, step: Mapping[str, Any]) -> str:
        base = key = slug(step.get("name"))
        while key in self._taken:
            number = self._numbers[base] = self._numbers.get(base, 1) + 1
            key = f"{base[: KEY_LENGTH - len(str(number)) - 1]}_{number}"
        self._taken.add(key)
        return key


def slug(name: Any) -> str:
    """Make a key of a name: `Fetch the news!` becomes `fetch_the_news`."""
    text = unicodedata.normalize("NFKD", name) if isinstance(name, str) else ""
    plain = text.encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not key or key[0].isdigit():
        key = f"step_{key}".rstrip("_")
    return key[:KEY_LENGTH].rstrip("_")
