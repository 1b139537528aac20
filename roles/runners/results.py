"""
Make sure that what a runner returns can be stored and sent as JSON.

A value that is not JSON is refused where it arises, with its place, and never
turned into text silently.
"""

from __future__ import annotations

import math
from typing import Any

from roles.runners.base import RunnerError

MAX_DEPTH = 50
MAX_INTEGER_BITS = 4096


def to_json(value: Any) -> Any:
    """
    Return `value` as plain dicts, lists, strings, numbers, booleans and null.

    Tuples become lists and subclasses of the plain types become those types.
    Raises RunnerError, type `not_json`, which names the place of the first value
    that JSON or the database cannot hold.
    """
    return _plain(value, "", ())


def pointer(place: str, part: object) -> str:
    """Extend a JSON pointer by one part."""
    return f"{place}/{str(part).replace('~', '~0').replace('/', '~1')}"


def _plain(value: Any, place: str, above: tuple[int, ...]) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, place)
        case int():
            return _integer(value, place)
        case float():
            return _number(value, place)
        case dict():
            inside = _enter(value, place, above)
            return {
                _key(key, place): _plain(item, pointer(place, key), inside)
                for key, item in value.items()
            }
        case list() | tuple():
            inside = _enter(value, place, above)
            return [
                _plain(item, f"{place}/{index}", inside)
                for index, item in enumerate(value)
            ]
    raise _refused(place, type(value).__name__)


def _enter(value: Any, place: str, above: tuple[int, ...]) -> tuple[int, ...]:
    if id(value) in above:
        raise _refused(place, "a value that contains itself")
    if len(above) >= MAX_DEPTH:
        raise _refused(place, f"nested more than {MAX_DEPTH} deep")
    return (*above, id(value))


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise _refused(place, f"the key {key!r} is not a string")
    return _text(key, place)


def _text(value: str, place: str) -> str:
    if "\0" in value:
        raise _refused(place, "a string with a NUL character")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise _refused(place, "a string with half of a surrogate pair")
    return str.__str__(value)


def _integer(value: int, place: str) -> int:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise _refused(place, "an integer that is too large")
    return int(value)


def _number(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise _refused(place, str(float(value)))
    return float(value)


def _refused(place: str, what: str) -> RunnerError:
    return RunnerError(
        f"The result is not JSON: {place or '/'}: {what}.",
        type="not_json",
        retryable=False,
    )
