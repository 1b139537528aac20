"""Documents for the tests of validation, and how to look at what it says."""

from __future__ import annotations

from typing import Any

from core_orchestration.validation import RoleDirectory, validate

ROLE_ID = "01890000-0000-7000-8000-00000000000a"
ROLES = RoleDirectory.of({ROLE_ID: "writer", ROLE_ID[:-1] + "b": "reader"})


def step(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "role_name": "writer", **fields}


WHEN = {"field": "context.input.x", "operator": "exists"}


def loop(*body: Any, **fields: Any) -> dict[str, Any]:
    return _holder("again", "loop", {"max_iterations": 3}, body) | fields


def each(*body: Any, **fields: Any) -> dict[str, Any]:
    return _holder("each", "map", {"items": [1, 2]}, body) | fields


def route(*body: Any, **fields: Any) -> dict[str, Any]:
    """Make a branch step with a case for every branch."""
    names = dict.fromkeys(one.get("branch") or one.get("key") for one in body)
    cases = [{"branch": name, "condition": WHEN} for name in names]
    return _holder("route", "branch", {"cases": cases}, body) | fields


def abreast(*body: Any, **fields: Any) -> dict[str, Any]:
    return _holder("abreast", "parallel", {}, body) | fields


def wait(**config: Any) -> dict[str, Any]:
    return {"key": "pause", "step_type": "wait", "config": config}


def approval(**config: Any) -> dict[str, Any]:
    return {"key": "ask", "step_type": "approval", "config": config}


def child(**config: Any) -> dict[str, Any]:
    return {"key": "child", "step_type": "orchestration", "config": config}


def _holder(
    key: str, step_type: str, config: dict[str, Any], body: tuple[Any, ...]
) -> dict[str, Any]:
    return {"key": key, "step_type": step_type, "config": config, "steps": list(body)}


def codes(*steps: Any, **fields: Any) -> list[tuple[str, str]]:
    return found(orchestration(*steps, **fields))


def orchestration(*steps: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "An example", "steps": list(steps), **fields}


def found(document: Any, **options: Any) -> list[tuple[str, str]]:
    """List the pointer and the code of every problem."""
    problems = validate(document, ROLES, **options)
    return [(problem.pointer, problem.code) for problem in problems]


def said(*steps: Any) -> str:
    return details(orchestration(*steps))


def details(document: Any) -> str:
    return " ".join(problem.detail for problem in validate(document, ROLES))
