"""Small request bodies: the fields of an action, strictly typed, none unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roles.problems import (
    InvalidDocument,
    Problem,
    child,
    did_you_mean,
    kind_of,
    quoted,
)

MAX_TEXT = 1000
_WORDS: Mapping[type, str] = {dict: "an object", str: "text"}


def fields_of(body: Any, types: Mapping[str, type]) -> dict[str, Any]:
    """
    Return the given fields; every one is optional.

    Raises InvalidDocument with every field that is unknown or of another type.
    """
    if not isinstance(body, dict):
        detail = f"The body is an object, not {kind_of(body)}."
        raise InvalidDocument([Problem("", "wrong_type", detail)])
    found = [problem for name in body for problem in _faults(name, body[name], types)]
    if found:
        raise InvalidDocument(found)
    return dict(body)


def _faults(name: str, value: Any, types: Mapping[str, type]) -> list[Problem]:
    place = child("", name)
    if name not in types:
        hint = did_you_mean(name, types)
        detail = f"There is no field {quoted(name)} here.{hint}"
        return [Problem(place, "unknown_field", detail)]
    if isinstance(value, str) and len(value) > MAX_TEXT:
        detail = f"This has more than {MAX_TEXT:,} characters."
        return [Problem(place, "too_long", detail)]
    if isinstance(value, types[name]):
        return []
    detail = f"This must be {_WORDS[types[name]]}, not {kind_of(value)}."
    return [Problem(place, "wrong_type", detail)]
