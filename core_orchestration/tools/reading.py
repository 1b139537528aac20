"""The meta-tools that look orchestrations up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from core_orchestration.filters import OrchestrationFilter
from core_orchestration.models import Orchestration
from core_orchestration.serializers import (
    OrchestrationSerializer,
    OrchestrationSummarySerializer,
)
from roles.toolkit import Arguments, Caller, tool
from roles.toolkit.rights import named, visible
from roles.tools.pages import Page, chosen, page_by_name

_SHOWN = ("id", "name", "description", "tags", "is_active", "version", "provenance")


class ListOrchestrations(Page):
    name: str | None = Field(None, description="The exact name.")
    is_active: bool | None = None
    tags: list[str] | None = Field(None, description="Tags that must all be there.")
    search: str | None = Field(None, description="Part of the name or description.")


class GetOrchestration(Arguments):
    id: UUID | None = Field(None, description="Its id, or give its name.")
    name: str | None = Field(None, description="Its name.")


@tool("system.list_orchestrations")
def list_orchestrations(
    arguments: ListOrchestrations, caller: Caller
) -> dict[str, Any]:
    """
    List the orchestrations that there are, by name, page by page, without their steps.

    One whose `version` is null was not published and cannot be executed.
    """
    rows = chosen(OrchestrationFilter, _seen(caller), arguments)
    page, following = page_by_name(rows, arguments.limit, arguments.cursor)
    found = [OrchestrationSummarySerializer(each).data for each in page]
    return {
        "orchestrations": [{name: each[name] for name in _SHOWN} for each in found],
        "next_cursor": following,
    }


@tool("system.get_orchestration")
def get_orchestration(arguments: GetOrchestration, caller: Caller) -> dict[str, Any]:
    """Read an orchestration with all its steps, by `id` or by `name`."""
    seen = _seen(caller)
    return whole(named(seen, "orchestration", id_=arguments.id, name=arguments.name))


def whole(orchestration: Orchestration) -> dict[str, Any]:
    """Write an orchestration as REST does."""
    return dict(OrchestrationSerializer(orchestration).data)


def _seen(caller: Caller) -> Any:
    rows = Orchestration.objects.current().select_related("published")
    return visible(rows.defer("published__definition"), caller)
