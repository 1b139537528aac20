"""The meta-tools that look executions up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from pydantic import Field

from executions import record
from executions.listing import kinds_for
from executions.models import Execution
from executions.rest.filters import ExecutionFilter
from executions.tools.outcomes import plain
from roles.audit import shortened
from roles.toolkit import Arguments, Caller, ToolRefused, tool
from roles.toolkit.rights import named, owner, visible
from roles.tools.pages import Page, narrowed

MOST_STEPS = 200
_STEP = ("step_key", "path", "status", "attempt", "role_name")
_SHOWN = (
    "orchestration_name",
    "version",
    "status",
    "error",
    "created_at",
    "finished_at",
    "duration_ms",
    "parent_execution_id",
)


class GetExecutionStatus(Arguments):
    id: UUID = Field(description="`execution_id`, as returned when it was started.")


class ListExecutions(Page):
    status: list[str] | None = Field(
        None,
        description="Any of pending, running, waiting, paused, completed, failed, "
        "cancelled, timed_out.",
    )
    orchestration: str | None = Field(None, description="Its id or exact name.")
    created_after: datetime | None = None
    created_before: datetime | None = None
    search: str | None = Field(None, description="Part of the orchestration's name.")


@tool("system.get_execution_status")
def get_execution_status(
    arguments: GetExecutionStatus, caller: Caller
) -> dict[str, Any]:
    """
    Say where an execution stands: status, output, error, each step, what it waits for.

    Long outputs of steps are shortened; `output` is whole.
    """
    rows = visible(_rows().defer("version__definition"), caller)
    execution: Execution = named(rows, "execution", id_=arguments.id)
    detail = record.detail(execution)
    steps = [_step(each) for each in detail["step_logs"][:MOST_STEPS]]
    found = {
        "execution_id": str(execution.pk),
        **{name: detail[name] for name in _SHOWN},
        "output": detail["output"],
        "steps": steps,
        "waiting_on": detail["waiting_on"],
        "usage": detail["usage"],
    }
    if len(detail["step_logs"]) > MOST_STEPS:
        found["more_steps"] = len(detail["step_logs"]) - MOST_STEPS
    return dict(plain(found))


@tool("system.list_executions")
def list_executions(arguments: ListExecutions, caller: Caller) -> dict[str, Any]:
    """List executions, newest first, page by page."""
    rows = _rows().only(
        *("status", "error", "created_at", "started_at", "finished_at", "origin"),
        *("parent_execution_id", "orchestration__name", "version__number"),
        "created_by__username",
    )
    filters = narrowed(ExecutionFilter, visible(rows, caller), arguments)
    listing = filters.listing(kinds_for(_asker(caller)))  # type: ignore[attr-defined]
    if arguments.cursor is not None:
        listing = listing.filter(id__lt=_position(arguments.cursor))
    found = listing[0 : arguments.limit + 1]
    page = found[: arguments.limit]
    return {
        "executions": [_summary(each) for each in page],
        "next_cursor": str(page[-1].pk) if len(found) > len(page) else None,
    }


def _rows() -> Any:
    return Execution.objects.select_related("orchestration", "version", "created_by")


def _asker(caller: Caller) -> Any:
    return owner(caller) or AnonymousUser()


def _position(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        detail = "Give `next_cursor` of the page before, as it was."
        raise ToolRefused(detail, code="invalid_arguments") from None


def _summary(execution: Execution) -> dict[str, Any]:
    told = record.summary(execution)
    shown = {"execution_id": told["id"], **{name: told[name] for name in _SHOWN}}
    return dict(plain(shown))


def _step(log: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten a step's log: null where there is nothing is left out."""
    shown = {name: log[name] for name in _STEP}
    more = {
        "output": shortened(log["output"]) if log["output"] is not None else None,
        "error": log["error"],
        "waiting_on": log["waiting_on"],
    }
    return shown | {name: value for name, value in more.items() if value is not None}
