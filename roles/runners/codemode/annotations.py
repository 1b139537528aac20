"""
Say in Python's types what a JSON Schema asks for, as far as types can say it.

Objects are shown as typed dictionaries, and any dictionary is taken in their place: one
that is built in steps has no such type, and the tool checks its arguments anyhow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roles.runners.codemode.naming import is_name

MAX_DEPTH = 8
MAX_CHOICES = 40
ANYTHING = "Any"
OBJECT = "dict[str, Any]"

_PLAIN = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}


class Annotations:
    """Writes types; `classes` collects the typed dictionaries that they name."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.classes: dict[str, str] = {}
        self._taken = {"Any", "Literal", "NotRequired", "Sequence", "TypedDict", *taken}
        self._named: dict[int, str] = {}  # by the identity of a schema
        self._kept: list[Any] = []  # keeps those identities from being used again
        self._root: Mapping[str, Any] = {}

    def properties(
        self, schema: Mapping[str, Any], owner: str
    ) -> Iterator[tuple[str, str, bool]]:
        """Yield name, type, and whether it is required, of each property."""
        self._root = schema
        required = required_of(schema)
        for name, each in (schema.get("properties") or {}).items():
            yield name, self.of(each, f"{owner}_{name}"), name in required

    def whole(self, schema: Mapping[str, Any], hint: str) -> str:
        """Return the type of a tool's whole argument."""
        self._root = schema
        return self.of(schema, hint)

    def of(self, schema: Any, hint: str, depth: int = 0) -> str:
        """Return the type; `hint` names an object that has no title."""
        schema = self._resolved(schema)
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return ANYTHING
        if "const" in schema:
            return _choices([schema["const"]])
        if isinstance(schema.get("enum"), list):
            return _choices(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return _union(self.of(each, hint, depth) for each in schema[word])
        return self._typed(schema, hint, depth)

    def _typed(self, schema: Mapping[str, Any], hint: str, depth: int) -> str:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list):
            return _union(
                self._typed({**schema, "type": each}, hint, depth) for each in kind
            )
        if kind == "array":
            item = self.of(schema.get("items"), hint, depth + 1)
            # A list of dictionaries is none of another type of dictionaries.
            return f"Sequence[{item}]" if "dict[" in item else f"list[{item}]"
        if kind == "object":
            return self._object(schema, hint, depth)
        return _PLAIN.get(kind, ANYTHING) if isinstance(kind, str) else ANYTHING

    def _object(self, schema: Mapping[str, Any], hint: str, depth: int) -> str:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return OBJECT
        if not all(isinstance(name, str) and is_name(name) for name in properties):
            return OBJECT
        if id(properties) not in self._named:
            self._kept.append(properties)
            name = self._name(schema, hint)
            self._named[id(properties)] = name
            self.classes[name] = ""  # takes its name before those inside of it
            self.classes[name] = self._class(name, schema, depth)
        return f"{self._named[id(properties)]} | {OBJECT}"

    def _class(self, name: str, schema: Mapping[str, Any], depth: int) -> str:
        required = required_of(schema)
        lines = [f"class {name}(TypedDict):"]
        for key, each in schema["properties"].items():
            type_ = self.of(each, f"{name}_{key}", depth + 1)
            lines.append(
                f"    {key}: {type_ if key in required else f'NotRequired[{type_}]'}"
            )
        return "\n".join(lines)

    def _name(self, schema: Mapping[str, Any], hint: str) -> str:
        words = re.findall(r"[A-Za-z0-9]+", str(schema.get("title") or hint)[:80])
        plain = "".join(word[0].upper() + word[1:] for word in words)
        plain = plain if is_name(plain) else f"Object{plain}"
        number, name = 1, plain
        while name in self.classes or name in self._taken:
            number += 1
            name = f"{plain}{number}"
        return name

    def _resolved(self, schema: Any) -> Any:
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return schema
            inside = schema.get("allOf")
            if isinstance(inside, list) and len(inside) == 1:
                schema = inside[0]
            elif "$ref" in schema:
                schema = self._target(schema["$ref"])
            else:
                return schema
        return None

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found: Any = self._root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def required_of(schema: Mapping[str, Any]) -> Sequence[Any]:
    """Name the properties that have to be there."""
    required = schema.get("required")
    return required if isinstance(required, list | tuple) else ()


def takes_null(schema: Any) -> bool:
    """Tell whether null is a value of its own for a schema, as far as one can see."""
    if not isinstance(schema, Mapping):
        return True
    kinds = schema.get("type")
    if kinds is not None:
        return kinds == "null" or (isinstance(kinds, list) and "null" in kinds)
    choices = schema.get("enum", schema.get("anyOf", schema.get("oneOf")))
    if isinstance(choices, list):
        return any(
            each is None or (isinstance(each, Mapping) and takes_null(each))
            for each in choices
        )
    return "$ref" not in schema and "const" not in schema


def _choices(values: Sequence[Any]) -> str:
    plain = [each for each in values if isinstance(each, str | int | bool | None)]
    if len(plain) < len(values) or not 0 < len(values) <= MAX_CHOICES:
        return ANYTHING
    return f"Literal[{', '.join(map(repr, plain))}]"


def _union(types: Iterator[str]) -> str:
    parts = list(dict.fromkeys(types))
    if ANYTHING in parts or not parts:
        return ANYTHING
    return " | ".join(sorted(parts, key=lambda part: part == "None"))
