"""How JSON values compare; types are never coerced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal: 1 is 1.0, but neither "1" nor true."""
    if isinstance(left, str) or left is None or isinstance(left, bool):
        return type(left) is type(right) and bool(left == right)
    if is_number(left):
        return is_number(right) and bool(left == right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _same_objects(left, right)
    return is_list(left) and is_list(right) and _same_lists(left, right)


def _same_objects(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        same(value, right[name]) for name, value in left.items()
    )


def _same_lists(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def identity(value: Any) -> Any:
    """Give a key that two values share when they are the same JSON value."""
    if isinstance(value, str | int | float | None):
        return (isinstance(value, bool), value)
    return compact_json(_canonical(value))


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(value[name]) for name in sorted(value)}
    if is_list(value):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _encoder(indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":") if indent is None else (",", ": "),
        indent=indent,
        default=_plain,
    )


_COMPACT = _encoder(None)


def compact_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON, or raise TypeError or ValueError when it is none."""
    return (_COMPACT if indent is None else _encoder(indent)).encode(value)
