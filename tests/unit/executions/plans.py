"""Plans for the tests of the engine's pure parts."""

from __future__ import annotations

from typing import Any

from core_orchestration.definition import Step, parse
from executions.plan import Plan, compile_plan
from executions.signatures import Address

ADDRESS = Address(
    execution="01890000-0000-7000-8000-000000000001",
    version="01890000-0000-7000-8000-000000000002",
    epoch=3,
)


def step(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "role_name": "worker", **fields}


def plan_of(*steps: dict[str, Any], **fields: Any) -> Plan:
    return compile_plan(parse({"steps": list(steps), **fields}))


def chain_of(length: int) -> Plan:
    return plan_of(*(step(f"s{place}") for place in range(length)))


def policy_of(**fields: Any) -> Step:
    """Make a step for its retry policy alone."""
    return Step(key="s", name="s", **fields)
