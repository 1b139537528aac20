"""
The meta-tool that starts executions: an agent's stand below its own.

A call that is repeated finds what it started the first time.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from pydantic import Field

from core_orchestration.envelope import may_run
from core_orchestration.models import Orchestration
from executions import pinned
from executions.ancestry import Parent, ParentEnded, TooManyExecutions
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable, launch
from executions.limits import Limits
from executions.models import Execution
from executions.tools.outcomes import outcome
from roles.toolkit import Arguments, Caller, ToolRefused, tool
from roles.toolkit.envelope import FORBIDDEN
from roles.toolkit.refusals import refusing
from roles.toolkit.rights import named, owner, visible
from roles.toolkit.threads import in_thread

LONGEST_WAIT_MS = 30_000
_LONGEST_KEY = 255
_CODES: dict[type[Exception], str] = {
    NotRunnable: "not_runnable",
    InvalidInput: "invalid",
    IdempotencyConflict: "idempotency_key_reused",
    TooManyExecutions: "limit_reached",
    ParentEnded: "not_runnable",
}


class ExecuteOrchestration(Arguments):
    id: UUID | None = Field(None, description="The orchestration's id, or its name.")
    name: str | None = Field(None, description="The orchestration's name.")
    input: dict[str, Any] = Field(
        default_factory=dict,
        description="What templates read as `context.input`; it has to fit the "
        "orchestration's input_schema.",
    )
    wait_ms: int = Field(
        0,
        ge=0,
        le=LONGEST_WAIT_MS,
        description="How long to wait for its end; 0 returns at once.",
    )


@tool("system.execute_orchestration")
async def execute_orchestration(
    arguments: ExecuteOrchestration, caller: Caller
) -> dict[str, Any]:
    """
    Start an orchestration, named by `id` or `name`, with an input.

    Returns `execution_id` and `status`; with `wait_ms` it waits so long for the end,
    and returns `output` or `error` if there is one by then. An execution that is still
    under way goes on: ask system.get_execution_status.
    """
    execution = await in_thread(_started, arguments, caller)
    return await outcome(execution, wait_ms=arguments.wait_ms)


def start(
    orchestration: Orchestration, given: dict[str, Any], caller: Caller
) -> Execution:
    """Start an execution for a caller; raises ToolRefused."""
    by = owner(caller)
    parent = _parent(caller)
    key = f"tool:{caller.call_key}" if caller.call_key else None
    if key and len(key) > _LONGEST_KEY:
        key = f"tool:{hashlib.sha256(caller.call_key.encode()).hexdigest()}"
    with refusing(_CODES):
        return launch(orchestration, given, by=by, idempotency_key=key, parent=parent)


def _started(arguments: ExecuteOrchestration, caller: Caller) -> Execution:
    rows = visible(Orchestration.objects.current(), caller)
    orchestration: Orchestration = named(
        rows, "orchestration", id_=arguments.id, name=arguments.name
    )
    if not may_run(orchestration, caller):
        raise ToolRefused(
            f"You may not execute {orchestration.name!r}: your policy lets you execute "
            "what you made, and those that its `orchestrations` name.",
            code=FORBIDDEN,
        )
    if orchestration.published_id is None:
        raise ToolRefused(
            f"{orchestration.name!r} is a draft: a person has to publish it before it "
            "can be executed.",
            code="not_published",
        )
    return start(orchestration, arguments.input, caller)


def _parent(caller: Caller) -> Parent | None:
    """Describe the agent's execution as the parent of another one."""
    actor, policy = caller.actor, caller.policy
    if actor.execution_id is None:
        return None
    rows = Execution.objects.only("depth", "api_key_id", "version_id")
    row = rows.get(pk=actor.execution_id)
    _check_depth(row, caller)
    return Parent(
        execution=row.pk,
        path=actor.step_path,
        depth=row.depth + 1,
        api_key_id=row.api_key_id,
        origin={
            "kind": "agent",
            "execution_id": str(row.pk),
            "step_path": actor.step_path,
            "role_name": actor.role_name,
        },
        most=policy.max_executions if policy else None,
        budget=policy.budget if policy else None,
    )


def _check_depth(row: Execution, caller: Caller) -> None:
    definition = pinned.plan(str(row.version_id)).definition
    most = Limits.of(definition).depth
    if row.depth + 1 >= most or (caller.policy and caller.policy.max_depth < 1):
        raise ToolRefused(
            "This execution may have none below it: it stands "
            f"{row.depth} deep, and max_depth does not allow more.",
            code="too_deep",
        )
