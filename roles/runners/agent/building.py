"""
Agents of the library, made once for each shape of answer and event loop.

Making one costs more than running it; what belongs to a role or a run (its prompt, its
model, its tools) is given to each run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from pydantic_ai import Agent, DeferredToolRequests, ModelRetry, StructuredDict

from roles.runners.agent.schema import for_model, unwrapped
from roles.runners.schemas import mismatch

Schema = Mapping[str, Any]
Built = Agent[None, Any]

MAX_AGENTS = 500
# How often calls may be malformed or name no tool: the limit of requests is lower.
_PATIENCE = 1_000_000

_AGENTS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Built]] = (
    WeakKeyDictionary()
)


def agent_for(schema: Schema | None, *, repairs: int, has_tools: bool) -> Built:
    """Return the running loop's agent whose answers fit the schema, or are text."""
    agents = _AGENTS.setdefault(asyncio.get_running_loop(), {})
    key = json.dumps([schema, repairs, has_tools], sort_keys=True)
    agent = agents.get(key)
    if agent is None:
        if len(agents) >= MAX_AGENTS:
            agents.clear()
        agent = agents[key] = _built(schema, repairs, has_tools)
    return agent


def _built(schema: Schema | None, repairs: int, has_tools: bool) -> Built:
    output: Any = StructuredDict(for_model(schema), name="answer") if schema else str
    agent: Built = Agent(
        output_type=[output, DeferredToolRequests] if has_tools else output,
        name="role",
        retries={"output": repairs, "tools": _PATIENCE},
    )
    if schema:

        @agent.output_validator
        def fits(answer: Any) -> Any:
            if isinstance(answer, DeferredToolRequests):
                return answer
            misfit = mismatch(unwrapped(answer, schema), schema)
            if misfit is not None:
                raise ModelRetry(f"The answer does not fit the schema: {misfit}")
            return answer

    return agent
