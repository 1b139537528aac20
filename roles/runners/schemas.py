"""
Check a step's input and output against its role's JSON Schemas.

Draft 2020-12. A `$ref` is looked up inside the schema, never on the network, and
patterns run in linear time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import re2
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import UnknownType, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from roles.runners.base import RoleSpec, RunnerError
from roles.runners.results import pointer

MAX_PATTERN_LENGTH = 1000
MAX_MESSAGE_LENGTH = 300

Schema = Mapping[str, Any]

_DATA_KEYWORDS = {"const", "default", "enum", "examples"}
_UNUSABLE = (  # what a schema that was never checked can provoke
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    UnknownType,
    Unresolvable,
    ValueError,
    re2.error,
)


def check_input(role: RoleSpec, value: Any) -> None:
    """Raise RunnerError `input_schema_mismatch` unless the input fits the role."""
    if role.input_schema:
        check(value, role.input_schema, what="input")


def check_output(role: RoleSpec, value: Any) -> None:
    """Raise RunnerError `output_schema_mismatch` unless the output fits the role."""
    if role.output_schema:
        check(value, role.output_schema, what="output")


def check(value: Any, schema: Schema, *, what: str) -> None:
    """Raise RunnerError, type `<what>_schema_mismatch`, naming the worst misfit."""
    misfit = mismatch(value, schema, what=what)
    if misfit is not None:
        raise RunnerError(
            f"The {what} does not fit the role's schema: {misfit}",
            type=f"{what}_schema_mismatch",
            retryable=False,
        )


def mismatch(value: Any, schema: Schema, *, what: str = "output") -> str | None:
    """
    Say where and why a value does not fit a schema, or return None.

    Raises RunnerError, type `<what>_schema_invalid`, for a schema that is wrong.
    """
    try:
        misfit = best_match(_validator(schema).iter_errors(value))
    except _UNUSABLE as problem:
        raise RunnerError(
            f"The role's {what} schema cannot be used: {_reason(problem)}",
            type=f"{what}_schema_invalid",
            retryable=False,
        ) from problem
    if misfit is None:
        return None
    return f"{_place(misfit.absolute_path) or '/'}: {_short(misfit.message)}"


def schema_problems(schema: Any, place: str) -> list[tuple[str, str]]:
    """List what is wrong with a schema itself; `place` is its JSON pointer."""
    if not isinstance(schema, Mapping):
        return [(place, "A schema must be an object.")]
    errors = Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
    found = [(place + _place(error.absolute_path), error.message) for error in errors]
    return found or [
        (place + where, f"The pattern {pattern!r} cannot be used: {problem}")
        for where, pattern in _patterns(schema, "")
        if (problem := _pattern_problem(pattern))
    ]


def _validator(schema: Schema) -> Any:
    return _Validator(schema, registry=Registry())  # the default one would fetch


def _place(path: Any) -> str:
    place = ""
    for part in path:
        place = pointer(place, part)
    return place


def _short(message: str) -> str:
    if len(message) <= MAX_MESSAGE_LENGTH:
        return message
    return message[:MAX_MESSAGE_LENGTH] + "…"


def _patterns(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            here = pointer(place, key)
            if key in _DATA_KEYWORDS:
                continue
            if key == "pattern" and isinstance(value, str):
                yield here, value
            elif key == "patternProperties" and isinstance(value, Mapping):
                yield from ((pointer(here, pattern), pattern) for pattern in value)
            yield from _patterns(value, here)
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _patterns(value, f"{place}/{index}")


def _pattern_problem(pattern: str) -> str | None:
    try:
        _compile(pattern)
    except re2.error as problem:
        return _reason(problem)
    return None


def _reason(problem: Exception) -> str:
    said = problem.args[0] if problem.args else ""
    text = said.decode() if isinstance(said, bytes) else str(problem)
    return _short(text.partition("\n")[0]) or type(problem).__name__


def _compile(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise re2.error(f"longer than {MAX_PATTERN_LENGTH} characters")
    return re2.compile(pattern, _QUIET)


def _pattern(
    _: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compile(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        compiled = _compile(pattern)
        for key in filter(compiled.search, instance):
            yield from validator.descend(
                instance[key], subschema, path=key, schema_path=pattern
            )


def _additional_properties(
    validator: Any, rule: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [_compile(pattern) for pattern in schema.get("patternProperties", {})]
    known = schema.get("properties", {})
    for key in instance:
        if key in known or any(pattern.search(key) for pattern in patterns):
            continue
        if rule is False:
            yield ValidationError(f"the property {key!r} is not allowed")
        else:
            yield from validator.descend(instance[key], rule, path=key)


def _quiet_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


_QUIET = _quiet_options()
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
