"""The operators of conditions: what each one needs, and when it holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from roles.problems import kind_of
from roles.schemas.patterns import PatternError, searcher

from .values import comparable, contains, is_list, is_number, same

Compare = Callable[[Any, Any], bool]

PRESENCE = frozenset({"exists", "not_exists"})
TRUE_WHEN_MISSING = frozenset({"!=", "not_in", "not_contains", "not_exists"})


def _ordered(compare: Callable[[Any, Any], Any]) -> Compare:
    return lambda left, right: comparable(left, right) and bool(compare(left, right))


def _text(compare: Callable[[str, str], bool]) -> Compare:
    return lambda left, right: (
        isinstance(left, str) and isinstance(right, str) and compare(left, right)
    )


def _differs(left: Any, right: Any) -> bool:
    return not same(left, right)


def _within(left: Any, right: Any) -> bool:
    return contains(right, left)


def _not_within(left: Any, right: Any) -> bool:
    return not contains(right, left)


def _not_contains(left: Any, right: Any) -> bool:
    return not contains(left, right)


def _matches(text: str, pattern: str) -> bool:
    return searcher(pattern)(text)


COMPARE: Mapping[str, Compare] = {
    "==": same,
    "!=": _differs,
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    "in": _within,
    "not_in": _not_within,
    "contains": contains,
    "not_contains": _not_contains,
    "starts_with": _text(str.startswith),
    "ends_with": _text(str.endswith),
    "matches": _text(_matches),
}
OPERATORS = (*COMPARE, *sorted(PRESENCE))


def unfit(name: str, value: Any) -> str | None:
    """Say why a fixed value can never satisfy an operator, if it cannot."""
    if name == "matches":
        return _unfit_pattern(value)
    fits, wanted = _WANTED.get(name, (_anything, ""))
    if fits(value):
        return None
    return f"The operator {name} needs {wanted} as its value, not {kind_of(value)}."


def _unfit_pattern(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"The operator matches needs a pattern as text, not {kind_of(value)}."
    if "{{" in value:
        return "A pattern is fixed text; it cannot hold a placeholder."
    try:
        searcher(value)
    except PatternError as error:
        return str(error)
    return None


def _anything(value: Any) -> bool:
    return True


def _orderable(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)


def _container(value: Any) -> bool:
    return isinstance(value, str | Mapping) or is_list(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ORDER = (_orderable, "a number or text")
_HOLDER = (_container, "a list, text or an object")
_TEXT = (_is_text, "text")
_WANTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys((">", ">=", "<", "<="), _ORDER),
    **dict.fromkeys(("in", "not_in"), _HOLDER),
    **dict.fromkeys(("starts_with", "ends_with"), _TEXT),
}
