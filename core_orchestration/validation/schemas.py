"""Whether a JSON Schema may be used: valid, self-contained and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from core_orchestration.language.patterns import PatternError, searcher
from core_orchestration.language.values import compact_json
from roles.problems import Problem, child, kind_of, quoted
from roles.storable import storable_problems

from .fitting import fit

MAX_LENGTH = 100_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
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


def schema_problems(schema: Any, pointer: str = "") -> list[Problem]:
    """List what keeps a value from being a usable JSON Schema of Draft 2020-12."""
    if not isinstance(schema, Mapping):
        detail = f"A JSON Schema is an object, not {kind_of(schema)}."
        return [Problem(pointer, "wrong_type", detail)]
    problems = storable_problems(schema, pointer)
    problems = problems or _excess(schema, pointer) or _misuses(schema, pointer)
    if problems:
        return problems
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema))
    for below, part in _parts(schema, pointer):
        problems += _restrictions(part, below, is_root=part is schema)
        problems += _pattern_problems(part, below)
        problems += _reference_problems(part, below, resolver.resolver())
    return problems or _endless(schema, pointer)


def _excess(schema: Any, pointer: str) -> list[Problem]:
    length = len(compact_json(schema))
    if length <= MAX_LENGTH:
        return []
    detail = f"The schema has {length:,} characters; at most {MAX_LENGTH:,} fit."
    return [Problem(pointer, "too_long", detail)]


def _misuses(schema: Any, pointer: str) -> list[Problem]:
    meta = {k: v for k, v in Draft202012Validator.META_SCHEMA.items() if k != "$schema"}
    return [
        Problem(
            each.pointer, "invalid_schema", f"The schema is not valid: {each.detail}"
        )
        for each in fit(meta, schema, pointer)
    ]


def _endless(schema: Mapping[str, Any], pointer: str) -> list[Problem]:
    rules = {name: rule for name, rule in schema.items() if name != "$schema"}
    return [
        Problem(pointer, each.code, "The schema refers to itself without end.")
        for each in fit(rules, None, pointer)
        if each.code == "endless_schema"
    ]


def _parts(schema: Any, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a schema and every schema inside it, each with its pointer."""
    if not isinstance(schema, Mapping):
        return
    yield pointer, schema
    for keyword in _SINGLE:
        yield from _parts(schema.get(keyword), child(pointer, keyword))
    for keyword in _NAMED:
        for name, part in (schema.get(keyword) or {}).items():
            yield from _parts(part, child(pointer, keyword, name))
    for keyword in _LISTED:
        for place, part in enumerate(schema.get(keyword) or ()):
            yield from _parts(part, child(pointer, keyword, place))


def _restrictions(
    part: Mapping[str, Any], pointer: str, *, is_root: bool
) -> Iterator[Problem]:
    dialect = part.get("$schema", DIALECT)
    if not is_root or dialect.rstrip("#") != DIALECT:
        for keyword in ("$schema", "$id"):
            if keyword in part and not (is_root and keyword == "$id"):
                detail = (
                    f"Only Draft 2020-12 in one piece is read; leave out {keyword}."
                )
                yield Problem(child(pointer, keyword), "unsupported_keyword", detail)
    if "unevaluatedProperties" in part and "patternProperties" in part:
        detail = "patternProperties cannot be used together with this keyword."
        yield Problem(
            child(pointer, "unevaluatedProperties"), "unsupported_keyword", detail
        )


def _pattern_problems(part: Mapping[str, Any], pointer: str) -> Iterator[Problem]:
    patterns = [
        (child(pointer, "patternProperties", name), name)
        for name in part.get("patternProperties", ())
    ]
    if "pattern" in part:
        patterns.append((child(pointer, "pattern"), part["pattern"]))
    for below, pattern in patterns:
        try:
            searcher(pattern)
        except PatternError as error:
            yield Problem(below, "invalid_pattern", str(error))


def _reference_problems(
    part: Mapping[str, Any], pointer: str, resolver: Any
) -> Iterator[Problem]:
    for keyword in ("$ref", "$dynamicRef"):
        target = part.get(keyword)
        if target is None:
            continue
        below = child(pointer, keyword)
        if not target.startswith("#"):
            detail = (
                f"{quoted(target)} lies outside this schema and is not fetched; "
                "copy it under $defs and refer to #/$defs/<name>."
            )
            yield Problem(below, "remote_reference", detail)
            continue
        try:
            resolver.lookup(target)
        except Unresolvable:
            detail = f"{quoted(target)} does not exist in this schema."
            yield Problem(below, "unknown_reference", detail)
