"""`data.*` for objects: pick, omit, merge, get, flatten."""

from __future__ import annotations

from typing import Any

from roles.builtins.arguments import BadArguments, argument, names_of, subject
from roles.functions import FunctionFailed, function
from roles.runners.paths import PathMissing, walk

MAX_DEPTH = 50


@function("data.pick")
def pick(given: Any) -> Any:
    """Keep only the named `fields` of the object `value`, or of each in a list."""
    fields = names_of(given, "fields")
    return _each(given, lambda row: {key: row[key] for key in fields if key in row})


@function("data.omit")
def omit(given: Any) -> Any:
    """Drop the named `fields` of the object `value`, or of each in a list."""
    fields = set(names_of(given, "fields"))
    return _each(given, lambda row: {key: row[key] for key in row if key not in fields})


@function("data.merge")
def merge(given: Any) -> dict[str, Any]:
    """Merge the objects in `values`, later ones winning; `deep` merges inside too."""
    values = subject(given, "values", list)
    deep = argument(given, "deep", bool, default=False)
    merged: dict[str, Any] = {}
    for index, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, dict):
            raise BadArguments(f"Value {index} must be an object or null.")
        merged = _merge(merged, value) if deep else {**merged, **value}
    return merged


@function("data.get")
def get(given: Any) -> Any:
    """Return what stands at the dotted `path` in `value`, or the `default` if given."""
    path = argument(given, "path", str)
    try:
        return walk(argument(given, "value"), path.split("."))
    except PathMissing as problem:
        if "default" in given:
            return given["default"]
        raise FunctionFailed(f"{problem}.", type="path_missing") from None


@function("data.flatten")
def flatten(given: Any) -> list[Any]:
    """Put the items of lists inside `items` in their place, `depth` levels deep (1)."""
    depth = argument(given, "depth", int, default=1)
    flat = subject(given, "items", list)
    for _ in range(min(depth, MAX_DEPTH)):
        flat = [
            inner
            for item in flat
            for inner in (item if isinstance(item, list) else [item])
        ]
    return list(flat)


def _each(given: Any, change: Any) -> Any:
    value = argument(given, "items" if "items" in given else "value")
    if isinstance(value, dict):
        return change(value)
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return [change(row) for row in value]
    raise BadArguments("Give an object, or a list of objects, as `value`.")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = _merge(under, value) if both and under else value
    return merged
