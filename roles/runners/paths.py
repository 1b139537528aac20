"""
Follow a dotted path like `order.items.0.price` through JSON data.

Only objects and lists are read: there is no way to an attribute or a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


class PathMissing(LookupError):
    """The path leads nowhere; the message names where it ends and what is near."""


def walk(value: Any, parts: Sequence[str], *, root: str = "") -> Any:
    """Return what stands at the end of the path; `root` names `value` in errors."""
    reached = [root] if root else []
    for part in parts:
        try:
            value = _step(value, part)
        except (KeyError, IndexError):
            raise PathMissing(_missing(value, part, ".".join(reached))) from None
        reached.append(part)
    return value


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value[part]
    if isinstance(value, list) and part.isascii() and part.isdigit():
        return value[int(part)]
    raise KeyError(part)


def _missing(value: Any, part: str, reached: str) -> str:
    place = f"`{reached}`" if reached else "the value"
    if isinstance(value, dict):
        near = get_close_matches(part, [key for key in value if key], n=1)
        hint = f"; did you mean `{near[0]}`?" if near else _names(value)
        return f"{place} has no `{part}`{hint}"
    if isinstance(value, list):
        return f"{place} is a list of {len(value)}, and `{part}` is not in it"
    return f"{place} is {_kind(value)}, which has no `{part}`"


def _names(value: dict[str, Any]) -> str:
    if not value:
        return "; it is empty"
    names = sorted(map(str, value))
    return f"; it has {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return "a text" if isinstance(value, str) else "a number"
