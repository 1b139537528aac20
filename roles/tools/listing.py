"""The meta-tool that looks roles up."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from roles.filters import RoleFilter
from roles.models import Role
from roles.serializers.roles import RoleSerializer
from roles.toolkit import Caller, tool
from roles.toolkit.rights import visible
from roles.tools.pages import Page, chosen, page_by_name

_SHOWN = ("id", "name", "kind", "description", "tools", "is_active", "provenance")


class ListRoles(Page):
    name: str | None = Field(
        None, description="The exact name; the role comes with all its fields."
    )
    kind: str | None = Field(None, description="`agent`, `http` or `function`.")
    is_active: bool | None = None
    search: str | None = Field(None, description="Part of the name or description.")


@tool("system.list_roles")
def list_roles(arguments: ListRoles, caller: Caller) -> dict[str, Any]:
    """
    List the roles that there are, by name, page by page.

    Lists leave out prompts, settings and schemas; ask with `name` to see them all.
    """
    rows = chosen(RoleFilter, visible(Role.objects.all(), caller), arguments)
    page, following = page_by_name(rows, arguments.limit, arguments.cursor)
    found = [whole(each) for each in page]
    if arguments.name is None:
        found = [{field: each[field] for field in _SHOWN} for each in found]
    return {"roles": found, "next_cursor": following}


def whole(role: Role) -> dict[str, Any]:
    """Write a role as REST does."""
    return dict(RoleSerializer(role).data)
