"""Compare JSON values without coercion: "5" is not 5, and true is not 1."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import re2

from roles.builtins.arguments import BadArguments

MISSING: Any = object()
MAX_PATTERN_LENGTH = 1000

Comparison = Callable[[Any, Any], bool]


def holds(found: Any, name: str, value: Any) -> bool:
    """Tell whether a comparison holds; a missing value fits only the negative ones."""
    if name not in OPERATORS:
        raise BadArguments(
            f"There is no operator {name!r}; choose one of {', '.join(OPERATORS)}."
        )
    if found is MISSING:
        return name in _TRUE_WHEN_MISSING
    return OPERATORS[name](found, value)


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal, in type as in content."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one
        )
    return bool(one == other)


def rank(value: Any) -> tuple[int, Any]:
    """Return a sort key that orders any JSON values: null, booleans, numbers, text."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, (int, float)):
        return 2, value
    return (3, value) if isinstance(value, str) else (4, repr(value))


def _ordered(compare: Comparison) -> Comparison:
    def check(found: Any, value: Any) -> bool:
        (kind, _), (other_kind, _) = rank(found), rank(value)
        return kind == other_kind and kind in {2, 3} and compare(found, value)

    return check


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, list):
        return any(same(item, value) for item in found)
    if isinstance(found, (str, dict)):
        return isinstance(value, str) and value in found
    return False


def _text(compare: Callable[[str, str], bool]) -> Comparison:
    def check(found: Any, value: Any) -> bool:
        return (
            isinstance(found, str) and isinstance(value, str) and compare(found, value)
        )

    return check


def _matches(found: str, pattern: str) -> bool:
    return compiled(pattern).search(found) is not None


def compiled(pattern: str) -> Any:
    """Compile a regular expression that runs in linear time, or say what is wrong."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise BadArguments(f"A pattern takes {MAX_PATTERN_LENGTH} characters at most.")
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as problem:
        reason = problem.args[0] if problem.args else ""
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise BadArguments(
            f"The pattern {pattern!r} cannot be used: {reason}."
        ) from None


def _quiet_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


_QUIET = _quiet_options()
_TRUE_WHEN_MISSING = {"!=", "not_in", "not_contains", "not_exists"}
OPERATORS: dict[str, Comparison] = {
    "==": same,
    "!=": lambda found, value: not same(found, value),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    "in": lambda found, value: _contains(value, found),
    "not_in": lambda found, value: not _contains(value, found),
    "contains": _contains,
    "not_contains": lambda found, value: not _contains(found, value),
    "exists": lambda found, value: True,
    "not_exists": lambda found, value: False,
    "starts_with": _text(str.startswith),
    "ends_with": _text(str.endswith),
    "matches": _text(_matches),
}
