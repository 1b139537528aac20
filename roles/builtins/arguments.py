"""Read a built-in function's arguments, and say plainly what is wrong with them."""

from __future__ import annotations

from typing import Any, cast

from roles.functions import FunctionFailed
from roles.runners.paths import PathMissing, walk

_MISSING: Any = object()
_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "a list",
    str: "a text",
}


class BadArguments(FunctionFailed):
    """The step's input is not what the function takes."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="bad_arguments")


def subject(given: Any, key: str, kind: type | None = None) -> Any:
    """Return what a function works on: `key`, else `value`, else the whole input."""
    if isinstance(given, dict):
        key = key if key in given or "value" not in given else "value"
        return argument(given, key, kind)
    if kind is not None and not _is(given, kind):
        raise BadArguments(f"Give {_NAMES[kind]} as `{key}`, not {_shown(given)}.")
    return given


def argument(
    given: Any, key: str, kind: type | None = None, default: Any = _MISSING
) -> Any:
    """Return the argument `key`, checked to be of `kind`; null counts as absent."""
    found = given.get(key) if isinstance(given, dict) else None
    if found is None and default is not _MISSING:
        return default
    if found is None and (kind is not None or not _has(given, key)):
        wanted = _NAMES[kind] if kind else "a value"
        raise BadArguments(f"Give {wanted} as `{key}`.")
    if kind is not None and not _is(found, kind):
        raise BadArguments(f"`{key}` must be {_NAMES[kind]}, not {_shown(found)}.")
    return found


def rows_of(given: Any) -> list[dict[str, Any]]:
    """Return the `items`, checked to be a list of objects."""
    items = subject(given, "items", list)
    for index, row in enumerate(items):
        if not isinstance(row, dict):
            raise BadArguments(f"Item {index} must be an object, not {_shown(row)}.")
    return cast("list[dict[str, Any]]", items)


def names_of(given: Any, key: str) -> list[str]:
    """Return one or several names: a text counts as a list of one."""
    names = argument(given, key)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadArguments(f"`{key}` must be a name or a list of names.")
    return names


def field_of(row: Any, path: str, default: Any = None) -> Any:
    """Return the field at a dotted path, or `default` where there is none."""
    if isinstance(row, dict) and path in row:
        return row[path]
    try:
        return walk(row, path.split("."))
    except PathMissing:
        return default


def _has(given: Any, key: str) -> bool:
    return isinstance(given, dict) and key in given


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
