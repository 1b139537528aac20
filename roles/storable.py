"""
What PostgreSQL's JSON can hold, and in what measure.

The common case, a clean value, is decided level by level without a pointer; only
a value found faulty is walked again to say where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from math import isfinite
from typing import Any

from roles.problems import Problem, child

MAX_DEPTH = 50
MAX_VALUES = 2_000_000
MAX_SHOWN = 100
MAX_BITS = 1_024

_TYPES = frozenset({dict, list, str, int, float, bool, type(None)})


def storable_problems(
    value: Any, pointer: str = "", *, max_depth: int = MAX_DEPTH
) -> list[Problem]:
    """
    List what keeps a value from being stored; at most 100 faults are named.

    Refused are NaN and infinities, NUL, half surrogate pairs, names that are not
    text, values that are not JSON, deep nesting and very many values.
    """
    if _is_clean(value, max_depth):
        return []
    if not _is_countable(value, max_depth):
        detail = f"There are more than {MAX_VALUES:,} values here; send less at once."
        return [Problem(pointer, "too_many_values", detail)]
    return list(islice(_faults(value, pointer, max_depth), MAX_SHOWN))


def _is_clean(value: Any, max_depth: int) -> bool:
    level, seen = [value], 0
    for _ in range(max_depth + 1):
        seen += len(level)
        if seen > MAX_VALUES or not _is_clean_level(level):
            return False
        level = _below(level)
        if not level:
            return True
    return False


def _is_clean_level(level: list[Any]) -> bool:
    types = set(map(type, level))
    if not types <= _TYPES:
        return False
    names = list(chain.from_iterable(each for each in level if type(each) is dict))
    if set(map(type, names)) - {str}:
        return False
    texts = [each for each in level if type(each) is str] if str in types else []
    whole = [each for each in level if type(each) is int] if int in types else [0]
    return (
        _is_clean_text("".join(names))
        and _is_clean_text("".join(texts))
        and max(max(whole), -min(whole)).bit_length() <= MAX_BITS
        and (
            float not in types
            or all(isfinite(each) for each in level if type(each) is float)
        )
    )


def _is_clean_text(text: str) -> bool:
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def _below(level: list[Any]) -> list[Any]:
    """Gather what the containers hold; stop short when there is too much of it."""
    dicts = [each.values() for each in level if isinstance(each, Mapping)]
    lists = [each for each in level if isinstance(each, list | tuple)]
    return list(islice(chain.from_iterable(chain(dicts, lists)), MAX_VALUES + 1))


def _is_countable(value: Any, max_depth: int) -> bool:
    level, seen = [value], 0
    for _ in range(max_depth + 1):
        seen += len(level)
        if seen > MAX_VALUES:
            return False
        level = _below(level)
    return True


def _faults(value: Any, pointer: str, depth_left: int) -> Iterator[Problem]:
    for fits, code, detail in _SCALARS:
        if fits(value):
            yield Problem(pointer, code, detail)
            return
    if isinstance(value, Mapping | list | tuple):
        if depth_left > 0:
            yield from _faults_inside(value, pointer, depth_left - 1)
        else:
            detail = "This is nested too deeply; make the structure flatter."
            yield Problem(pointer, "too_deep", detail)
    elif not isinstance(value, str | int | float | None):
        detail = f"A value of the type {type(value).__name__} is not JSON."
        yield Problem(pointer, "not_json", detail)


def _faults_inside(value: Any, pointer: str, depth_left: int) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _name_faults(name, pointer)
            yield from _faults(item, child(pointer, _shown(name)), depth_left)
    else:
        for place, item in enumerate(value):
            yield from _faults(item, child(pointer, place), depth_left)


def _name_faults(name: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(name, str):
        detail = f"The names of an object must be text, not {type(name).__name__}."
        yield Problem(child(pointer, _shown(name)), "not_json", detail)
    elif not _is_clean_text(name):
        detail = "A name cannot hold NUL or half a surrogate pair."
        yield Problem(child(pointer, _shown(name)), "invalid_text", detail)


def _shown(name: Any) -> str:
    """Write a name so that a response can carry it."""
    return str(name).replace("\0", "\ufffd").encode(errors="replace").decode()


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\0" in value


def _has_surrogate(value: Any) -> bool:
    return isinstance(value, str) and not _is_clean_text(value)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not isfinite(value)


def _is_too_large(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > MAX_BITS


_SCALARS: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (_has_nul, "nul_character", "Text cannot hold the character NUL; remove it."),
    (
        _has_surrogate,
        "lone_surrogate",
        "The text holds half a surrogate pair, which is no character; remove it.",
    ),
    (
        _is_infinite,
        "not_a_number",
        "NaN and infinite numbers are not JSON; use null or a finite number.",
    ),
    (
        _is_too_large,
        "number_too_large",
        "The number has more digits than can be kept; send it as text.",
    ),
)


storage_problems = storable_problems
