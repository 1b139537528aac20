"""
How configuration names a secret: `{"$secret": "name"}` in place of the value.

With a `prefix`, such as `Bearer `, that text is put before it. Only whole values are
references; plain Python, so that everybody may ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roles.problems import Problem, child, kind_of, quoted
from roles.runners.secret_text import SecretText

KEY, PREFIX = "$secret", "prefix"
MAX_NAME = 100

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def is_name(value: Any) -> bool:
    """Tell whether a secret could have this name."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_NAME
        and _NAME.fullmatch(value) is not None
    )


def is_reference(value: Any) -> bool:
    """Tell whether a value is meant as a reference, well-formed or not."""
    return isinstance(value, Mapping) and KEY in value


def references_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """List the secrets that a value names, each with the pointer of its place."""
    for place, found in _candidates(value, pointer):
        if _fault(found) is None:
            yield place, found[KEY]


def names_in(value: Any) -> frozenset[str]:
    """Return the names of the secrets that a value refers to."""
    return frozenset(name for _, name in references_in(value))


def reference_problems(value: Any, pointer: str = "") -> list[Problem]:
    """List what is meant as a reference and is none."""
    return [
        Problem(place, "invalid_secret", fault)
        for place, found in _candidates(value, pointer)
        if (fault := _fault(found)) is not None
    ]


def filled(value: Any, values: Mapping[str, SecretText]) -> Any:
    """
    Return a value with its references replaced; without any it comes back equal.

    Raises KeyError for a name that is not among `values`.
    """
    return _replaced(value, lambda name: values[name])


def imagined(value: Any) -> Any:
    """Fill a value as if every secret were there, for who judges configuration."""
    return _replaced(value, lambda name: SecretText("a secret", name=name))


def _replaced(value: Any, secret: Callable[[str], SecretText]) -> Any:
    if isinstance(value, Mapping):
        if is_reference(value) and _fault(value) is None:
            return secret(value[KEY]).after(value.get(PREFIX, ""))
        return {key: _replaced(item, secret) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, secret) for item in value]
    return value


def _candidates(value: Any, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if KEY in value:
            yield pointer, value
            return
        for key, item in value.items():
            if isinstance(item, Mapping | list | tuple):
                yield from _candidates(item, child(pointer, key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            if isinstance(item, Mapping | list | tuple):
                yield from _candidates(item, child(pointer, place))


def _fault(found: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a reference, or return None."""
    name = found[KEY]
    if not isinstance(name, str):
        return f"{KEY} takes the name of a secret, not {kind_of(name)}."
    if not is_name(name):
        return (
            f"{quoted(name)} is no name of a secret: small letters, digits, `_`, `.` "
            "and `-`, a letter or digit first."
        )
    if unknown := sorted(map(str, set(found) - {KEY, PREFIX})):
        return f"A reference to a secret has no {quoted(unknown[0])}, only a prefix."
    if not isinstance(found.get(PREFIX, ""), str):
        return f"The prefix is text, not {kind_of(found[PREFIX])}."
    return None
