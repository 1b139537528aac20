"""`data.*` for lists of objects: map, filter, sort, group_by, aggregate, unique."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from roles.builtins.arguments import (
    BadArguments,
    argument,
    field_of,
    names_of,
    rows_of,
    subject,
)
from roles.builtins.comparing import MISSING, holds, rank
from roles.functions import function

Row = dict[str, Any]


@function("data.map")
def project(given: Any) -> list[Row]:
    """Make an object of each in `items`: `fields` {new: path}, `set` {new: value}."""
    fields = argument(given, "fields", dict, default={})
    constants = argument(given, "set", dict, default={})
    if not all(isinstance(path, str) for path in fields.values()):
        raise BadArguments("`fields` must map each new name to a path in the item.")
    return [
        {new: field_of(row, path) for new, path in fields.items()} | constants
        for row in rows_of(given)
    ]


@function("data.filter")
def select(given: Any) -> list[Row]:
    """
    Keep the `items` that fit `where`: {field, operator, value}, or a list of them.

    The three may also stand beside `items`. Without an operator it is `==`.
    """
    conditions = given if _has_condition(given) else argument(given, "where")
    conditions = conditions if isinstance(conditions, list) else [conditions]
    checks = [_check(condition) for condition in conditions]
    return [row for row in rows_of(given) if all(check(row) for check in checks)]


@function("data.sort")
def sort(given: Any) -> list[Any]:
    """
    Sort `items` `by` one or several fields, or as they are; `descending` turns it.

    Values of different types sort as null, booleans, numbers, text; ties keep
    their order.
    """
    descending = argument(given, "descending", bool, default=False)
    if not isinstance(given, dict) or given.get("by") is None:
        return sorted(subject(given, "items", list), key=rank, reverse=descending)
    fields = names_of(given, "by")
    return sorted(
        rows_of(given),
        key=lambda row: [rank(field_of(row, field)) for field in fields],
        reverse=descending,
    )


@function("data.group_by")
def group(given: Any) -> list[Row]:
    """Group `items` `by` a field into a list of {key, count, items}."""
    groups = _groups(rows_of(given), argument(given, "by", str))
    return [{"key": key, "count": len(rows), "items": rows} for key, rows in groups]


@function("data.aggregate")
def aggregate(given: Any) -> Row | list[Row]:
    """
    Sum up `items`: `measures` {name: {operation, field}}, `by` a field if given.

    Operations are sum, avg, min, max and count; nulls are left out. With `by` the
    result is a list with an object per group, else one object.
    """
    measures = argument(given, "measures", dict, default={"count": {}})
    rows = rows_of(given)
    by = argument(given, "by", str, default=None)
    if by is None:
        return _measure(rows, measures)
    return [{by: key, **_measure(part, measures)} for key, part in _groups(rows, by)]


@function("data.unique")
def unique(given: Any) -> list[Any]:
    """Keep the first of equal `items`; with `by`, of those with the same field."""
    by = argument(given, "by", str, default=None)
    items = subject(given, "items", list) if by is None else rows_of(given)
    first: dict[str, Any] = {}
    for item in items:
        first.setdefault(_canonical(item if by is None else field_of(item, by)), item)
    return list(first.values())


def _has_condition(given: Any) -> bool:
    return isinstance(given, dict) and "items" in given and "field" in given


def _check(condition: Any) -> Callable[[Row], bool]:
    field = argument(condition, "field", str)
    operator = argument(condition, "operator", str, default="==")
    value = condition.get("value")
    return lambda row: holds(field_of(row, field, MISSING), operator, value)


def _groups(rows: list[Row], by: str) -> list[tuple[Any, list[Row]]]:
    groups: dict[str, tuple[Any, list[Row]]] = {}
    for row in rows:
        key = field_of(row, by)
        groups.setdefault(_canonical(key), (key, []))[1].append(row)
    return list(groups.values())


def _measure(rows: list[Row], measures: Row) -> Row:
    return {name: _apply(rows, measure, name) for name, measure in measures.items()}


def _apply(rows: list[Row], measure: Any, name: str) -> Any:
    if not isinstance(measure, dict):
        raise BadArguments(f"The measure {name!r} must be an object.")
    operation = argument(measure, "operation", str, default="count")
    if operation not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise BadArguments(f"There is no operation {operation!r}; choose from {known}.")
    if operation == "count" and measure.get("field") is None:
        return len(rows)
    field = argument(measure, "field", str)
    values = [value for row in rows if (value := field_of(row, field)) is not None]
    if operation != "count":
        _only_numbers(values, field)
    return _OPERATIONS[operation](values)


def _only_numbers(values: list[Any], field: str) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadArguments(f"{field!r} holds {value!r:.60}, which is not a number.")


def _sum(values: list[Any]) -> Any:
    if all(isinstance(value, int) for value in values):
        return sum(values)
    return math.fsum(values)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


_OPERATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": _sum,
    "avg": lambda values: math.fsum(values) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "count": len,
}
