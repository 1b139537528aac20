"""
Check a step's input and output against its role's JSON Schemas.

What fits, and what a schema may say, is decided in `roles.schemas`; here a misfit
becomes the failure of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roles.runners.base import RoleSpec, RunnerError
from roles.schemas import value_problems
from roles.schemas.fitting import UNUSABLE

Schema = Mapping[str, Any]


def check_input(role: RoleSpec, value: Any) -> None:
    """Raise RunnerError `input_schema_mismatch` unless the input fits the role."""
    if role.input_schema:
        check(value, role.input_schema, what="input")


def check_output(role: RoleSpec, value: Any) -> None:
    """Raise RunnerError `output_schema_mismatch` unless the output fits the role."""
    if role.output_schema:
        check(value, role.output_schema, what="output")


def check(value: Any, schema: Schema, *, what: str) -> None:
    """Raise RunnerError, type `<what>_schema_mismatch`, naming the first misfit."""
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
    problems = value_problems(schema, value)
    if not problems:
        return None
    first, more = problems[0], len(problems) - 1
    if first.code in UNUSABLE:
        raise RunnerError(
            f"The role's {what} schema cannot be used: {first.detail}",
            type=f"{what}_schema_invalid",
            retryable=False,
        )
    tail = f" ({more} more)" if more else ""
    return f"{first.pointer or '/'}: {first.detail}{tail}"
