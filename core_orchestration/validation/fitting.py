"""
Whether a value fits a JSON Schema, decided within bounds.

Nothing is fetched, and a check that takes too many steps ends with a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema.exceptions import UnknownType, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from core_orchestration.language.patterns import PatternError
from roles.problems import Problem, child

from .keywords import BoundedValidator, Check, TooManySteps, current

MAX_ERRORS = 50
MAX_MESSAGE = 300
_CHARACTERS_PER_STEP = 64

_CODES: Mapping[str, str] = {
    "required": "required",
    "type": "wrong_type",
    "additionalProperties": "unknown_field",
}
_UNUSABLE = (  # what a schema that was never checked can provoke
    Unresolvable,
    UnknownType,
    PatternError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def check_input(
    schema: Mapping[str, Any] | None, value: Any, pointer: str = "/input"
) -> list[Problem]:
    """
    List at most 50 ways in which a value does not fit a schema.

    The schema is one that `schema_problems` finds no fault with; null fits all.
    """
    if schema is None:
        return []
    rules = {name: rule for name, rule in schema.items() if name != "$schema"}
    return fit(rules, value, pointer)


def fit(schema: Any, value: Any, pointer: str) -> list[Problem]:
    """Hold a value against the rules of a schema that bears no `$schema`."""
    check = Check(schema)
    token = current.set(check)
    try:
        errors = BoundedValidator(schema, registry=Registry()).iter_errors(value)
        return list(_problems(islice(errors, MAX_ERRORS), pointer, check))
    except TooManySteps:
        detail = "Checking this against its schema takes too long; send less at once."
        return [Problem(pointer, "too_large", detail)]
    except RecursionError:
        detail = "The schema refers to itself without end, or the value is too deep."
        return [Problem(pointer, "endless_schema", detail)]
    except _UNUSABLE as error:
        detail = f"The schema cannot be used: {str(error)[:MAX_MESSAGE]}."
        return [Problem(pointer, "invalid_schema", detail)]
    finally:
        current.reset(token)


def _problems(
    errors: Iterator[ValidationError], pointer: str, check: Check
) -> Iterator[Problem]:
    for error in errors:
        check.spend(len(error.message) // _CHARACTERS_PER_STEP)
        yield Problem(
            child(pointer, *error.absolute_path),
            _CODES.get(str(error.validator), "invalid_value"),
            _shortened(error.message).rstrip(".") + ".",
        )


def _shortened(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE // 2]} ... {message[-MAX_MESSAGE // 2 :]}"
