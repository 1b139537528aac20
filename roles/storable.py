"""
What PostgreSQL's JSON can hold, and in what measure.

The common case, a clean value, is decided level by level without a pointer; only
a value found faulty is walked again to say where.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, chain, islice
from math import isfinite
from typing import Any

from roles.problems import Problem, child

MAX_DEPTH = 50
MAX_VALUES = 2_000_000
MAX_SHOWN = 100
MAX_BITS = 1_024
_STRETCH = 1_000

_TOO_DEEP = "This is nested too deeply; make the structure flatter."
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


class _Levels:
    """A value level by level, and the way back up from any place."""

    def __init__(self, value: Any, max_depth: int) -> None:
        self.levels = [[value]]
        while self.levels[-1] and len(self.levels) <= max_depth:
            self.levels.append(_below(self.levels[-1]))
        self._ways: dict[int, tuple[list[int], list[int]]] = {}

    def too_deep(self, depth: int) -> Iterator[int]:
        """Yield the places of a level under which there is another one."""
        level = self.levels[depth] if depth < len(self.levels) else []
        for place, each in enumerate(level):
            if isinstance(each, Mapping | list | tuple) and each:
                yield place

    def pointer(self, depth: int, place: int, root: str) -> str:
        return child(root, *reversed(list(self._path(depth, place))))

    def _path(self, depth: int, place: int) -> Iterator[str | int]:
        """Name the way to a place of a level, the last part first."""
        for above in reversed(range(depth)):
            holders, ends = self._way(above)
            nth = bisect_right(ends, place)
            holder = self.levels[above][holders[nth]]
            inside = place - ends[nth] + len(holder)
            is_object = isinstance(holder, Mapping)
            yield _shown(next(islice(holder, inside, None))) if is_object else inside
            place = holders[nth]

    def _way(self, depth: int) -> tuple[list[int], list[int]]:
        """Return a level's containers and where in the next one each one ends."""
        if depth not in self._ways:
            level = self.levels[depth]
            places = range(len(level))
            holders = [i for i in places if isinstance(level[i], Mapping)]
            holders += [i for i in places if isinstance(level[i], list | tuple)]
            ends = list(accumulate(len(level[i]) for i in holders))
            self._ways[depth] = holders, ends
        return self._ways[depth]


def _faults(value: Any, pointer: str, max_depth: int) -> Iterator[Problem]:
    """Name what is too deep; then look closely at what is not clean."""
    found = _Levels(value, max_depth)
    for place in found.too_deep(max_depth):
        yield Problem(found.pointer(max_depth, place, pointer), "too_deep", _TOO_DEEP)
    for depth, level in enumerate(found.levels):
        for place, each in _suspects(level):
            for code, detail in _own_faults(each):
                yield Problem(found.pointer(depth, place, pointer), code, detail)
            for name, code, detail in _name_faults(each):
                at = child(found.pointer(depth, place, pointer), _shown(name))
                yield Problem(at, code, detail)


def _suspects(level: list[Any]) -> Iterator[tuple[int, Any]]:
    """Leave out the stretches of a level that are clean as a whole."""
    for start in range(0, len(level), _STRETCH):
        stretch = level[start : start + _STRETCH]
        if not _is_clean_level(stretch):
            yield from enumerate(stretch, start)


def _own_faults(value: Any) -> Iterator[tuple[str, str]]:
    for fits, code, detail in _SCALARS:
        if fits(value):
            yield code, detail
            return
    if not isinstance(value, Mapping | list | tuple | str | int | float | None):
        yield "not_json", f"A value of the type {type(value).__name__} is not JSON."


def _name_faults(value: Any) -> Iterator[tuple[Any, str, str]]:
    for name in value if isinstance(value, Mapping) else ():
        if not isinstance(name, str):
            kind = type(name).__name__
            yield name, "not_json", f"The names of an object must be text, not {kind}."
        elif not _is_clean_text(name):
            detail = "A name cannot hold NUL or half a surrogate pair."
            yield name, "invalid_text", detail


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
