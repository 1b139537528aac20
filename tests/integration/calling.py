"""Agents that call tools, without a model: their executions, callers and calls."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User

from executions.models import Execution
from roles.acting import Actor
from roles.models import AuditEntry
from roles.runners import http_client
from roles.toolkit import Caller, Policy, ToolRefused, granted, invoke
from tests.integration.engine import chain

_numbers = itertools.count(1)


def working(user: User | None, **fields: Any) -> Execution:
    """Make an execution in whose step `a` an agent works."""
    execution = chain("a")
    Execution.objects.filter(pk=execution.pk).update(
        status="running", created_by=user, **fields
    )
    execution.refresh_from_db()
    return execution


def agent(
    user: User | None,
    execution: Execution | None = None,
    *,
    role_name: str = "Builder",
    call_key: str | None = None,
    **policy: Any,
) -> Caller:
    """Return the caller of an agent's next call."""
    execution = execution or working(user)
    actor = Actor(
        channel="agent",
        user_id=user.pk if user else None,
        execution_id=str(execution.pk),
        step_path="a",
        role_name=role_name,
    )
    return Caller(
        actor=actor,
        user_id=user.pk if user else None,
        policy=Policy.model_validate(policy),
        depth=execution.depth,
        call_key=call_key or f"call {next(_numbers)}",
    )


def person(user: User) -> Caller:
    """Return a caller whom only the user's rights limit."""
    return Caller(actor=Actor(channel="mcp", user_id=user.pk), user_id=user.pk)


def call(
    tool: str, caller: Caller, /, *, grants: Iterable[str] = ("meta",), **arguments: Any
) -> Any:
    """Call a tool as the engine does, with what these entries of `tools` grant."""

    async def called() -> Any:
        box = await granted(grants, caller)
        try:
            return await invoke(tool, arguments, caller, box=box)
        finally:
            await http_client.close()

    return asyncio.run(called())


def refusal(tool: str, caller: Caller, /, **arguments: Any) -> ToolRefused:
    """Call a tool that refuses, and see that the refusal is on record."""
    before = refusals()
    try:
        result = call(tool, caller, **arguments)
    except ToolRefused as refused:
        assert refusals() == before + 1
        return refused
    raise AssertionError(f"It was done: {result}")


def refusals() -> int:
    return AuditEntry.objects.filter(action="tool.call", outcome="refused").count()


def codes(refused: ToolRefused) -> dict[str, str]:
    """Return a refusal's problems: codes by their pointers."""
    return {each.pointer: each.code for each in refused.problems}
