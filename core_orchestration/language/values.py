"""How JSON values compare and read as text; types are never coerced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roles.schemas.values import compact_json, identity, is_list, is_number, same

__all__ = [
    "as_text",
    "compact_json",
    "comparable",
    "contains",
    "identity",
    "is_list",
    "is_number",
    "same",
]


def comparable(left: object, right: object) -> bool:
    """Tell whether two values have an order: both numbers, or both texts."""
    if isinstance(left, str):
        return isinstance(right, str)
    return is_number(left) and is_number(right)


def contains(container: Any, value: Any) -> bool:
    """Tell whether a list holds the value, a text the text or an object the name."""
    if is_list(container):
        return any(same(each, value) for each in container)
    if isinstance(container, str | Mapping):
        return isinstance(value, str) and value in container
    return False


def as_text(value: Any) -> str:
    """Write a value into a text: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else compact_json(value)
