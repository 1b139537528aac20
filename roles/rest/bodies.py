"""Small request bodies: the fields of an action, strictly typed, none unknown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
_WORDS: Mapping[type, str] = {
    bool: "a boolean",
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "text",
}


def fields_of(
    body: Any, types: Mapping[str, type], *, required: Collection[str] = ()
) -> dict[str, Any]:
    """
    Return the given fields; those that are not `required` are optional.

    A field of the type `object` may be anything. Raises InvalidDocument with every
    field that is missing, unknown or of another type.
    """
    if not isinstance(body, dict):
        detail = f"The body is an object, not {kind_of(body)}."
        raise InvalidDocument([Problem("", "wrong_type", detail)])
    found = [problem for name in body for problem in _faults(name, body[name], types)]
    found += [
        Problem("", "required", f"The field {quoted(name)} is missing.")
        for name in required
        if name not in body
    ]
    if found:
        raise InvalidDocument(found)
    return dict(body)


def _faults(name: str, value: Any, types: Mapping[str, type]) -> list[Problem]:
    place = child("", name)
    if name not in types:
        hint = did_you_mean(name, types)
        detail = f"There is no field {quoted(name)} here.{hint}"
        return [Problem(place, "unknown_field", detail)]
    if not _is(value, types[name]):
        detail = f"This must be {_WORDS[types[name]]}, not {kind_of(value)}."
        return [Problem(place, "wrong_type", detail)]
    if types[name] is str and len(value) > MAX_TEXT:
        detail = f"This has more than {MAX_TEXT:,} characters."
        return [Problem(place, "too_long", detail)]
    return []


def _is(value: Any, wanted: type) -> bool:
    """Tell whether a JSON value is of a type; a boolean is no number."""
    if isinstance(value, bool):
        return wanted in (bool, object)
    return isinstance(value, wanted)
