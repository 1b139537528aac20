"""
Agents in a benchmark: a model of the bench's own provider, and a role that asks it.

What is told of them is the record's own: its times, and the answers that it holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from benchmarks.core.fleet import Fleet
from executions.database import fetch

PROVIDER, QUESTION = "bench", "What do you think of it?"
_SPAN: LiteralString = """
SELECT extract(epoch FROM max(finished_at) - min(created_at))::float8,
  (SELECT count(*) FROM executions_spending s WHERE s.execution_id = ANY(%(ids)s))
FROM executions_execution WHERE id = ANY(%(ids)s)
"""


def agents(fleet: Fleet, url: str, shape: str, count: int) -> str:
    """Make an orchestration of one agent, or of so many in a group; return its id."""
    role = _role(fleet, url)
    if shape == "group":
        keys = [f"s{number}" for number in range(count)]
        return fleet.make(*(_step(key, role, parallel_group="fan") for key in keys))
    return fleet.make(_step("ask", role))


def recorded(ids: Sequence[UUID]) -> tuple[float, int]:
    """Return the seconds from the first creation to the last end, and all answers."""
    ((seconds, answers),) = fetch(_SPAN, {"ids": list(ids)})
    return float(seconds), int(answers)


def _step(key: str, role: str, **fields: Any) -> Mapping[str, Any]:
    given = {"name": key, "key": key, "role_name": role, "input_mapping": QUESTION}
    return {**given, **fields}


def _role(fleet: Fleet, url: str) -> str:
    """Put a model at this address into the catalogue; return a role that asks it."""
    model = f"model-{secrets.token_hex(4)}"
    row = {
        "name": f"{PROVIDER}:{model}",
        "provider": PROVIDER,
        "model": model,
        "api": "openai",
        "base_url": url,
        "context_tokens": 100_000,
        "max_output_tokens": 1_000,
        "input_price": "1",
        "cached_input_price": "0.1",
        "output_price": "10",
    }
    fleet.post("models/", row, status=201)
    role = {
        "name": f"Agent of {model}",
        "kind": "agent",
        "base_prompt": "You help.",
        "model_constraints": {"pinned": row["name"]},
    }
    fleet.post("roles/", role, status=201)
    return str(role["name"])
