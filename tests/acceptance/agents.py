"""Agents as a client makes them: models of the scripted provider, roles, what came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from tests.acceptance.provider import Asked, Provider, Turn
from tests.acceptance.system import System, step, until

_numbers = itertools.count(1)
KEY = "sk-of-the-scripted-provider"
PRICES = {"input_price": "1", "cached_input_price": "0.1", "output_price": "10"}


def model(
    system: System,
    provider: Provider,
    *turns: Turn | Callable[[Asked], Turn],
    **fields: Any,
) -> str:
    """Put a model with a script of its own into the catalogue, and return its name."""
    name = provider.script(*turns)
    if not system.get("secrets/?search=scripted-provider")["results"]:
        secret = {"name": "scripted-provider", "value": KEY}
        system.client.post("secrets/", json=secret)
    body = {
        "name": f"scripted:{name}",
        "provider": "scripted",
        "model": name,
        "api": "openai",
        "base_url": provider.url,
        "credential": "scripted-provider",
        "context_tokens": 100_000,
        "max_output_tokens": 1_000,
        "capabilities": ["tools", "structured_output"],
        **PRICES,
        **fields,
    }
    system.post("models/", body, status=201)
    return f"scripted:{name}"


def agent(system: System, model_name: str = "", **fields: Any) -> str:
    """Make a role that asks a model, and return the role's name."""
    name = f"Agent {next(_numbers)}"
    constraints = {"pinned": model_name} if model_name else {}
    body = {
        "name": name,
        "kind": "agent",
        "base_prompt": "You help.",
        "model_constraints": constraints,
        **fields,
    }
    system.post("roles/", body, status=201)
    return name


def ask(
    system: System, role: str, given: Any = "Hello", seconds: float = 30, **fields: Any
) -> dict[str, Any]:
    """Run one step with a role to its end."""
    mapping = {"input_mapping": given}
    return system.run(step("Ask", role, **mapping, **fields), seconds=seconds)


def begin(system: System, role: str, given: Any = "Hello", **fields: Any) -> str:
    """Start one step with a role."""
    made = system.orchestration(step("Ask", role, input_mapping=given, **fields))
    return system.execute(made)


def waiting(system: System, execution_id: str, kind: str) -> dict[str, Any]:
    """Wait until an execution waits for something of a kind, and return it."""

    def waits() -> dict[str, Any] | None:
        found = system.execution(execution_id)
        on = found["waiting_on"]
        is_so = found["status"] == "waiting" and on and on["kind"] == kind
        return found if is_so else None

    try:
        found: dict[str, Any] = until(waits, what=f"waiting for {kind}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {system.execution(execution_id)}") from None
    return found


def transcript(system: System, execution_id: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = system.get(
        f"executions/{execution_id}/transcript/?page_size=200"
    )["results"]
    return found


def tool_calls(system: System, execution_id: str) -> list[Mapping[str, Any]]:
    rows = transcript(system, execution_id)
    return [row["data"] for row in rows if row["kind"] == "tool"]


def audited(system: System, execution_id: str, outcome: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = system.get(
        f"audit/?execution_id={execution_id}&outcome={outcome}"
    )["results"]
    return found
