"""
The keywords of JSON Schema, with bounds that the stock ones lack.

Regular expressions run in linear time, alternatives keep no tree of their errors,
references stay inside the schema, and every keyword is paid for in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from core_orchestration.language.patterns import searcher
from core_orchestration.language.values import identity
from roles.problems import did_you_mean, kind_of, quoted

MAX_STEPS = 3_000_000
_DESCENT = 10  # what entering another schema costs
_DESCENDING = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf"})

Errors = Iterator[ValidationError]
Keyword = Callable[[Any, Any, Any, Any], Errors | None]


class TooManySteps(Exception):
    """The check has used up its steps."""


class Check:
    """One check's steps that are left, and where its references lead."""

    def __init__(self, schema: Any) -> None:
        self._left = MAX_STEPS
        self._schema = schema
        self._targets: dict[str, Any] = {}

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManySteps

    def target(self, reference: str) -> Any:
        """Look up a reference inside the schema; each is looked up only once."""
        if reference not in self._targets:
            root = DRAFT202012.create_resource(self._schema)
            resolver = Registry().with_resource("", root).resolver()
            self._targets[reference] = resolver.lookup(reference).contents
        return self._targets[reference]


current: ContextVar[Check] = ContextVar("check")


def _counted(name: str, keyword: Keyword) -> Keyword:
    price = _DESCENT if name in _DESCENDING else 1

    def counted(validator: Any, rule: Any, instance: Any, schema: Any) -> Errors | None:
        parts = len(rule) if isinstance(rule, list | dict) else 0
        current.get().spend(price * (1 + parts))
        return keyword(validator, rule, instance, schema)

    return counted


def _reference(validator: Any, reference: str, instance: Any, schema: Any) -> Errors:
    if reference.startswith("#"):
        target = current.get().target(reference)
        yield from validator.descend(instance, target)
    else:
        yield from _DRAFT["$ref"](validator, reference, instance, schema)


def _type(validator: Any, wanted: Any, instance: Any, schema: Any) -> Errors:
    types = [wanted] if isinstance(wanted, str) else wanted
    if not any(validator.is_type(instance, each) for each in types):
        names = " or ".join(types)
        yield ValidationError(f"This must be of type {names}, not {kind_of(instance)}")


def _matching(validator: Any, schemas: list[Any], instance: Any) -> int:
    return sum(
        next(validator.descend(instance, each), None) is None for each in schemas
    )


def _any_of(validator: Any, schemas: list[Any], instance: Any, schema: Any) -> Errors:
    if not _matching(validator, schemas, instance):
        yield ValidationError(f"This fits none of the {len(schemas)} alternatives")


def _one_of(validator: Any, schemas: list[Any], instance: Any, schema: Any) -> Errors:
    count = _matching(validator, schemas, instance)
    if count != 1:
        yield ValidationError(
            f"This fits {count} of {len(schemas)} alternatives; it must fit exactly one"
        )


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, str) and not searcher(pattern)(instance):
        yield ValidationError(f"{quoted(instance)} does not match {quoted(pattern)}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Errors:
    if isinstance(instance, dict):
        for pattern, rule in patterns.items():
            for name in filter(searcher(pattern), instance):
                yield from validator.descend(
                    instance[name], rule, path=name, schema_path=pattern
                )


def _additional_properties(
    validator: Any, rule: Any, instance: Any, schema: Any
) -> Errors:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = [searcher(each) for each in schema.get("patternProperties", ())]
    for name, value in instance.items():
        if name in known or any(matches(name) for matches in patterns):
            continue
        if rule is False:
            hint = did_you_mean(name, known)
            message = f"{quoted(name)} is not a field of this object.{hint}"
            yield ValidationError(message, path=(name,))
        else:
            yield from validator.descend(value, rule, path=name)


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Errors:
    if wanted and isinstance(instance, list):
        seen = {identity(item) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError("The list has the same item more than once")


_DRAFT: Mapping[str, Any] = Draft202012Validator.VALIDATORS
_KEYWORDS: Mapping[str, Keyword] = {
    **_DRAFT,
    "$ref": _reference,
    "type": _type,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
BoundedValidator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {name: _counted(name, keyword) for name, keyword in _KEYWORDS.items()},
)
