"""Orchestrations marked `expose_as_tool`, each as a tool; and how to ask after a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from pydantic import Field

from config.mcp import naming, waiting
from core_orchestration.models import Orchestration
from executions import record
from executions.launch import InvalidInput, NotRunnable, launch
from executions.models import Execution
from executions.states import TERMINAL_EXECUTION, ExecutionStatus
from roles.problems import Problem
from roles.toolkit import Arguments, Caller, Tool, ToolRefused, as_arguments, parsed
from roles.toolkit.threads import in_thread

GET_EXECUTION = "get_execution"
_LONGEST_WAIT_MS = int(waiting.LONGEST_WAIT_S * 1000)


class NotCompleted(Exception):
    """The execution ended otherwise than it should; `report` says how."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__(report["status"])
        self.report = report


class _Asked(Arguments):
    execution_id: UUID
    wait_ms: int = Field(
        0, ge=0, le=_LONGEST_WAIT_MS, description="wait so long for its end"
    )


def tools_for(user: User, taken: Collection[str], wait_s: float) -> dict[str, Tool]:
    """
    Return the tools of a user's orchestrations by name, and that which asks after runs.

    Each can be called by its full name as well, which outlives its neighbours.
    """
    fields = ("pk", "name", "description", "published__definition__input_schema")
    rows = list(_exposed_to(user).order_by("pk").values_list(*fields))
    if not rows:
        return {}
    names = naming.short_names(
        ((pk, name) for pk, name, *_ in rows), {*taken, GET_EXECUTION}
    )
    tools = {GET_EXECUTION: _asking_after(user)}
    for pk, name, description, schema in rows:
        tools[names[pk]] = Tool(
            name=names[pk],
            description=description or f"Runs the orchestration {name!r}.",
            schema=naming.arguments_schema(schema),
            call=_Run(pk, user, wait_s),
            grant=f"orchestration:{name}",
            blocking=False,
        )
    for pk, name, *_ in rows:
        tools.setdefault(naming.full_name(name, pk), tools[names[pk]])
    return tools


def _exposed_to(user: User) -> QuerySet[Any]:
    rows = Orchestration.objects.visible_to(user).filter(archived_at=None)
    return rows.filter(expose_as_tool=True, is_active=True).exclude(published=None)


class _Run:
    """Starts an orchestration, and waits a while for its end."""

    def __init__(self, pk: UUID, user: User, wait_s: float) -> None:
        self._pk, self._user, self._wait_s = pk, user, wait_s

    async def __call__(self, arguments: Mapping[str, Any], caller: Caller) -> Any:
        execution_id = await in_thread(_start, self._pk, self._user, arguments)
        await waiting.until_ended(execution_id, self._wait_s)
        report = await in_thread(report_of, execution_id, self._user)
        ended = report["status"] in TERMINAL_EXECUTION
        if ended and report["status"] != ExecutionStatus.COMPLETED:
            raise NotCompleted(report)
        return report


def _start(pk: UUID, user: User, arguments: Mapping[str, Any]) -> UUID:
    orchestration = _exposed_to(user).select_related("published").filter(pk=pk).first()
    if orchestration is None:
        raise ToolRefused("This tool was taken back just now.", code="not_runnable")
    wrapped = naming.wraps(orchestration.published.definition.get("input_schema"))
    given = _unwrapped(arguments) if wrapped else dict(arguments)
    try:
        return launch(orchestration, given, by=user).pk
    except NotRunnable as refused:
        raise ToolRefused(str(refused), code="not_runnable") from refused
    except InvalidInput as invalid:
        raise _misfit(invalid, wrapped=wrapped) from invalid


def _unwrapped(arguments: Mapping[str, Any]) -> Any:
    if set(arguments) != {naming.WRAPPED}:
        detail = f"Give the one argument {naming.WRAPPED!r}."
        raise ToolRefused(detail, code="invalid_arguments")
    return arguments[naming.WRAPPED]


def _misfit(invalid: InvalidInput, *, wrapped: bool) -> ToolRefused:
    """Point into the arguments, of which the input is the whole or one."""
    before = "" if wrapped else f"/{naming.WRAPPED}"
    problems = [
        Problem(each.pointer.removeprefix(before), each.code, each.detail)
        for each in invalid.problems
    ]
    first = problems[0]
    return ToolRefused(
        f"{first.pointer or 'The arguments'}: {first.detail}",
        code="invalid_arguments",
        problems=problems,
    )


def _asking_after(user: User) -> Tool:
    async def call(arguments: Mapping[str, Any], caller: Caller) -> Any:
        asked = parsed(_Asked, arguments)
        await in_thread(report_of, asked.execution_id, user)  # nobody waits in vain
        await waiting.until_ended(asked.execution_id, asked.wait_ms / 1000)
        return await in_thread(report_of, asked.execution_id, user)

    return Tool(
        name=GET_EXECUTION,
        description="Tells how an execution stands, and its output once it has ended; "
        f"wait_ms, at most {_LONGEST_WAIT_MS}, waits for that.",
        schema=as_arguments(_Asked.model_json_schema()),
        call=call,
        grant="orchestration",
        blocking=False,
    )


def report_of(execution_id: UUID, user: User) -> dict[str, Any]:
    """Tell what became of an execution that the user may see; raises ToolRefused."""
    rows = Execution.objects.visible_to(user).defer("version__definition")
    related = rows.select_related("orchestration", "version", "created_by")
    execution = related.filter(pk=execution_id).first()
    if execution is None:
        detail = f"There is no execution {execution_id}, or it is not yours to see."
        raise ToolRefused(detail, code="not_found")
    found = record.detail(execution)
    told = {name: found[name] for name in ("status", "output", "error")}
    report = {"execution_id": found["id"], **told}
    if execution.status not in TERMINAL_EXECUTION:
        report["waiting_on"] = found["waiting_on"]
        report["next"] = (
            f"It goes on by itself: call {GET_EXECUTION} with this execution_id later."
        )
    return report
