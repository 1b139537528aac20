"""`orchestration:<name>`: an orchestration as a tool; each call starts an execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.models import Orchestration
from executions import pinned
from executions.tools.outcomes import outcome
from executions.tools.starting import start
from roles.toolkit import Caller, Family, Tool, ToolRefused, as_arguments
from roles.toolkit.rights import named, visible
from roles.toolkit.threads import in_thread

WAIT_MS = 60_000
_HOW = (
    "Returns its output. If it takes longer than a minute, it returns `execution_id` and "
    "`status` instead, and goes on."
)


def make(name: str, caller: Caller) -> list[Tool]:
    """Return the tool that an orchestration is; the caller must be able to see it."""
    rows = visible(Orchestration.objects.current(), caller)
    orchestration: Orchestration = named(rows, "orchestration", name=name)
    return [tool_of(orchestration)]


def tool_of(orchestration: Orchestration) -> Tool:
    """Make an orchestration a tool; raises ToolRefused for one that cannot run."""
    if orchestration.published_id is None or not orchestration.is_active:
        raise ToolRefused(
            f"The orchestration {orchestration.name!r} is not active, or not published.",
            code="not_runnable",
        )
    definition = pinned.plan(str(orchestration.published_id)).definition

    async def call(arguments: Mapping[str, Any], caller: Caller) -> Any:
        return await _run(orchestration, dict(arguments), caller)

    return Tool(
        name=f"orchestration:{orchestration.name}",
        description=f"{orchestration.description or orchestration.name}\n\n{_HOW}",
        schema=as_arguments(definition.input_schema),
        call=call,
        grant=f"orchestration:{orchestration.name}",
        blocking=False,
    )


def fault(name: str) -> str | None:
    """Say why no orchestration can have this name; whether there is one comes later."""
    return None if name.strip() else "Name it: `orchestration:<name>`."


FAMILY = Family(make=make, fault=fault)


async def _run(
    orchestration: Orchestration, given: dict[str, Any], caller: Caller
) -> Any:
    execution = await in_thread(start, orchestration, given, caller)
    ended = await outcome(execution, wait_ms=WAIT_MS)
    if ended["status"] == "completed":
        return ended["output"]
    if "output" not in ended:
        return ended  # still under way
    error = ended.get("error") or {}
    raise ToolRefused(
        f"Execution {ended['execution_id']} is {ended['status']}: "
        f"{error.get('message') or 'no more is known.'}",
        code=error.get("type") or ended["status"],
    )
