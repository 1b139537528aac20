"""
`mcp:<server>` among a role's tools: what a server offers and somebody allowed.

The SDK is imported at the first use: it takes a second, and most processes never ask.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from roles.models import McpServer
from roles.problems import did_you_mean, quoted
from roles.servers.documents import is_name
from roles.servers.endpoints import Endpoint, ServerFault, endpoint_of
from roles.servers.saving import FAMILY, grant_of
from roles.toolkit import Caller, Family, Tool, ToolRefused, register_family
from roles.toolkit.threads import in_thread

if TYPE_CHECKING:
    from roles.servers.listing import Listing, OutsideTool

log = logging.getLogger(__name__)

REMEMBERED_S = 60.0
MOST_REMEMBERED = 1_000
MOST_OFFERED = 128  # providers take no more
ALL = "*"

_remembered: dict[tuple[UUID, str], tuple[float, Listing]] = {}


def register() -> None:
    """Let grants of MCP servers be made into tools."""
    register_family(FAMILY, Family(make=make, fault=fault))


def fault(name: str) -> str | None:
    """Say why no role can be granted the server of this name, or return None."""
    if not is_name(name):
        return f"{quoted(name)} is no name of an MCP server."
    if McpServer.objects.filter(name=name).exists():
        return None
    known = McpServer.objects.order_by("name").values_list("name", flat=True)
    return f"There is no MCP server {quoted(name)}.{did_you_mean(name, known)}"


async def make(name: str, caller: Caller) -> Sequence[Tool]:
    """Return the tools of a server that are allowed; raises ToolRefused."""
    try:
        server, endpoint = await in_thread(_reached, name, caller)
        listing = await _listing(server, endpoint)
    except ServerFault as failure:
        raise ToolRefused(failure.detail, code=failure.code) from None
    offered = [each for each in listing.tools if is_allowed(server, each.name)]
    if len(offered) > MOST_OFFERED:
        log.warning("Of %r only the first %d tools are offered", name, MOST_OFFERED)
    return [_tool(server, each) for each in offered[:MOST_OFFERED]]


def is_allowed(server: McpServer, tool: str) -> bool:
    """Tell whether a server's tool is on its allow-list."""
    return server.allowed_tools == [ALL] or tool in server.allowed_tools


def needs_approval(server: McpServer, tool: str) -> bool:
    """Tell whether a person is asked before each call."""
    return ALL in server.approved_tools or tool in server.approved_tools


def _tool(server: McpServer, outside: OutsideTool) -> Tool:
    async def call(arguments: Mapping[str, Any], caller: Caller) -> Any:
        from roles.servers.calling import called

        try:
            # Looked up anew: it may have been switched off, or got another secret.
            now, endpoint = await in_thread(_reached, server.name, caller)
            if not is_allowed(now, outside.name):
                detail = f"The tool {outside.name!r} is not allowed any more."
                raise ToolRefused(detail, code="tool_not_granted")
            return await called(endpoint, outside.name, arguments)
        except ServerFault as failure:
            raise ToolRefused(failure.detail, code=failure.code) from None

    return Tool(
        name=f"{FAMILY}:{server.name}/{outside.name}",
        description=outside.description,
        schema=outside.schema,
        call=call,
        grant=grant_of(server.name),
        blocking=False,
        needs_approval=needs_approval(server, outside.name),
    )


def _reached(name: str, caller: Caller) -> tuple[McpServer, Endpoint]:
    """Find a server that the caller may see; nobody in particular sees them all."""
    rows = McpServer.objects.filter(name=name)
    if caller.user_id is not None:
        users = get_user_model().objects
        rows = rows.visible_to(
            users.filter(pk=caller.user_id).first() or AnonymousUser()
        )
    server: McpServer | None = rows.first()
    if server is None:
        raise ServerFault(f"There is no MCP server {name!r}.", code="unknown_tool")
    if not server.is_active:
        detail = f"The MCP server {name!r} is switched off."
        raise ServerFault(detail, code="mcp_server_inactive")
    return server, endpoint_of(server)


async def _listing(server: McpServer, endpoint: Endpoint) -> Listing:
    """Ask for the tools once a minute in each process, and after every change."""
    from roles.servers.listing import listed

    key, now = (server.pk, server.updated_at.isoformat()), monotonic()
    known = _remembered.get(key)
    if known is not None and now - known[0] < REMEMBERED_S:
        return known[1]
    found = await listed(endpoint)
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    _remembered[key] = now, found
    return found
