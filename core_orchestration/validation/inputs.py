"""Whether what an execution is given fits its orchestration's input_schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roles.problems import Problem
from roles.schemas import value_problems


def check_input(
    schema: Mapping[str, Any] | None, value: Any, pointer: str = "/input"
) -> list[Problem]:
    """List at most 50 ways in which a value does not fit; without a schema, none."""
    return value_problems(schema, value, pointer)
