"""Where a schema's references lead: to places of the same schema and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from roles.problems import child, quoted

NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE = (
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)


class NoTarget(LookupError):
    """The reference leads nowhere inside the schema."""


class References:
    """The targets of one schema's references; each is looked up only once."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._targets: dict[str, Any] = {}

    def target(self, reference: str) -> Any:
        """Return the schema that `#`, `#/a/pointer` or `#anchor` means, or raise."""
        if reference not in self._targets:
            self._targets[reference] = self._look_up(reference)
        return self._targets[reference]

    def _look_up(self, reference: str) -> Any:
        name = unquote(reference.removeprefix("#"))
        if not reference.startswith("#"):
            raise NoTarget(f"{quoted(reference)} lies outside this schema")
        try:
            if name and not name.startswith("/"):
                return self._anchors[name]
            return self._at(name.split("/")[1:])
        except (LookupError, TypeError, ValueError):
            detail = f"{quoted(reference)} does not exist in this schema"
            raise NoTarget(detail) from None

    def _at(self, segments: list[str]) -> Any:
        found = self._schema
        for segment in segments:
            name = segment.replace("~1", "/").replace("~0", "~")
            found = found[int(name) if isinstance(found, list) else name]
        return found

    @cached_property
    def _anchors(self) -> dict[str, Any]:
        return {
            part[keyword]: part
            for _, part in parts(self._schema)
            for keyword in ("$dynamicAnchor", "$anchor")
            if keyword in part
        }


def parts(schema: Any, pointer: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a schema and every schema inside it, each with its pointer."""
    if not isinstance(schema, Mapping):
        return
    yield pointer, schema
    for keyword in SINGLE:
        if keyword in schema:
            yield from parts(schema[keyword], child(pointer, keyword))
    for keyword in NAMED:
        for name, part in schema.get(keyword, {}).items():
            yield from parts(part, child(pointer, keyword, name))
    for keyword in LISTED:
        for place, part in enumerate(schema.get(keyword, ())):
            yield from parts(part, child(pointer, keyword, place))
