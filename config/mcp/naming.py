"""What orchestrations are called as tools, and what their arguments look like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from roles.toolkit import as_arguments

LONGEST_SLUG = 50  # with its suffix a name fits the 64 characters of providers
WRAPPED = "input"

_OTHERS = re.compile(r"[^a-z0-9_.-]+")


def slug(name: str) -> str:
    """Make a tool's name of an orchestration's: letters, digits, `_`, `-` and `.`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    short = _OTHERS.sub("_", plain.lower()).strip("_.-")[:LONGEST_SLUG]
    return short.rstrip("_.-") or "orchestration"


def full_name(name: str, identifier: UUID) -> str:
    """Make the name that no other orchestration has, and that always leads to it."""
    return f"{slug(name)}_{identifier.hex[-12:]}"


def short_names(
    named: Iterable[tuple[UUID, str]], taken: Collection[str]
) -> dict[UUID, str]:
    """
    Give each orchestration its slug, or its full name where the slug is taken.

    They come oldest first, so that a newcomer never takes the name of another.
    """
    names: dict[UUID, str] = {}
    used = set(taken)
    for identifier, name in named:
        short = slug(name)
        chosen = full_name(name, identifier) if short in used else short
        names[identifier] = chosen
        used.add(chosen)
    return names


def wraps(input_schema: Mapping[str, Any] | None) -> bool:
    """Tell whether the input is no object: it is an argument of its own then."""
    kind = (input_schema or {}).get("type", "object")
    return kind != "object" and not (isinstance(kind, list) and "object" in kind)


def arguments_schema(input_schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write an orchestration's input schema as that of an object, as MCP wants it."""
    schema = dict(input_schema or {})
    if not wraps(schema):
        return as_arguments(schema)
    # References point to the root, so what they point to stays there.
    shared = {name: schema.pop(name) for name in _SHARED if name in schema}
    return as_arguments(
        {
            **shared,
            "properties": {WRAPPED: schema},
            "required": [WRAPPED],
            "additionalProperties": False,
        }
    )


_SHARED = ("$schema", "$defs", "definitions")
