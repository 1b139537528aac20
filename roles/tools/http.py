"""`http:<role name>`: a role of kind `http` as a tool; each call sends its request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from roles.models import Role
from roles.runners import Attempt, RoleSpec, RunnerError
from roles.runners.http import HttpRunner
from roles.schemas import value_problems
from roles.secrets.opening import opened_role
from roles.toolkit import Caller, Family, Tool, ToolRefused, as_arguments
from roles.toolkit.rights import named, visible
from roles.toolkit.threads import in_thread

log = logging.getLogger(__name__)

TIME_S = 60


def make(name: str, caller: Caller) -> list[Tool]:
    """Return the tool that a role is; it must be one that the caller may see."""
    known = visible(Role.objects.filter(kind="http", is_active=True), caller)
    role: Role = named(known, "active role of kind http", name=name)
    spec = role.spec()
    takes_all = (spec.input_schema or {}).get("type") == "object"

    async def call(arguments: Mapping[str, Any], caller: Caller) -> Any:
        given = dict(arguments) if takes_all else arguments.get("input")
        return await _sent(spec, given, caller)

    schema = spec.input_schema or {}
    if not takes_all:
        schema = {"properties": {"input": schema}}
    return [
        Tool(
            name=f"http:{name}",
            description=role.description or f"Calls {name}.",
            schema=as_arguments(schema),
            call=call,
            grant=f"http:{name}",
            blocking=False,
        )
    ]


def fault(name: str) -> str | None:
    """Say why no role can have this name; whether there is one is asked later."""
    return None if name.strip() else "Name a role of kind http: `http:<role name>`."


FAMILY = Family(make=make, fault=fault)


async def _sent(spec: RoleSpec, given: Any, caller: Caller) -> Any:
    if problems := value_problems(spec.input_schema or {}, given):
        detail = f"{problems[0].pointer or 'The arguments'}: {problems[0].detail}"
        raise ToolRefused(detail, code="invalid_arguments", problems=problems)
    try:
        role, redactor = await in_thread(opened_role, spec)
    except RunnerError as failure:
        raise ToolRefused(failure.message, code=failure.type) from failure
    try:
        result = await HttpRunner().run(role, given, _attempt(caller))
    except RunnerError as failure:
        detail = redactor.text(failure.message)
        raise ToolRefused(detail, code=failure.type) from None
    return redactor.value(result.output)


def _attempt(caller: Caller) -> Attempt:
    return Attempt(
        execution_id=caller.actor.execution_id or "",
        step_key=caller.actor.step_path.rpartition("/")[2],
        number=1,
        idempotency_key=caller.call_key or str(uuid4()),
        deadline=datetime.now(UTC) + timedelta(seconds=TIME_S),
        logger=log,
    )
