"""Documents for the tests of validation, and how to look at what it says."""

from __future__ import annotations

from typing import Any

from core_orchestration.validation import RoleDirectory, validate

ROLE_ID = "01890000-0000-7000-8000-00000000000a"
ROLES = RoleDirectory.of({ROLE_ID: "writer", ROLE_ID[:-1] + "b": "reader"})


def step(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "role_name": "writer", **fields}


def orchestration(*steps: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "An example", "steps": list(steps), **fields}


def found(document: Any, **options: Any) -> list[tuple[str, str]]:
    """List the pointer and the code of every problem."""
    problems = validate(document, ROLES, **options)
    return [(problem.pointer, problem.code) for problem in problems]


def details(document: Any) -> str:
    return " ".join(problem.detail for problem in validate(document, ROLES))
