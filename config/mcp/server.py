"""
The MCP server: each caller has a box of tools, and every call goes the one way.

What a caller did wrong, or may not do, is a tool's error: models read it and correct
themselves. It is the same server over HTTP and over stdio.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Any

import mcp_types as types
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from config.mcp import exposed, waiting
from config.mcp.callers import Asking
from roles.storable import storable_problems
from roles.toolkit import Tool, ToolRefused, invoke, meta_tools
from roles.toolkit.threads import in_thread

log = logging.getLogger(__name__)

PAGE = 200
WAIT = "wait_ms"

Context = ServerRequestContext[Any, Any]
Who = Callable[[Context], Awaitable[Asking]]

_INSTRUCTIONS = (
    "Tools named system.* make and run roles and orchestrations; the others each run "
    f"one orchestration. A run that takes longer than {waiting.DEFAULT_WAIT_S:.0f} s, "
    f"or than `{WAIT}` in the call's `_meta` says, goes on by itself: ask for it with "
    f"{exposed.GET_EXECUTION}."
)


def server_for(who: Who) -> Server[Any]:
    """Make a server that asks `who` calls, at every request anew."""

    async def list_tools(
        context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        asking = await who(context)
        box = await in_thread(box_of, asking, waiting.DEFAULT_WAIT_S)
        return _page(box, (params and params.cursor) or "")

    async def call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        asking = await who(context)
        try:
            result = await _called(asking, params, context.meta or {})
        except Exception as error:  # noqa: BLE001  (each is told of, see _told)
            return _result(_told(error), is_error=True)
        return _result(result)

    server: Server[Any] = Server(
        "core-orchestration",
        version=str(settings.SPECTACULAR_SETTINGS["VERSION"]),
        title=str(settings.SPECTACULAR_SETTINGS["TITLE"]),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        # None of our tools mirrors arguments in headers; this spares a listing.
        get_tool_input_schema=lambda name: None,
    )
    return server


def box_of(asking: Asking, wait_s: float) -> dict[str, Tool]:
    """Gather a caller's tools by the names that they may be called by."""
    box = dict(meta_tools()) if asking.allows_meta else {}
    box.update(exposed.tools_for(asking.user, meta_tools().keys(), wait_s))
    return box


async def _called(
    asking: Asking, params: types.CallToolRequestParams, meta: Mapping[str, Any]
) -> Any:
    arguments = params.arguments or {}
    if problems := storable_problems({"name": params.name, "arguments": arguments}):
        raise ToolRefused(
            f"{problems[0].pointer}: {problems[0].detail}",
            code="invalid_arguments",
            problems=problems,
        )
    box = await in_thread(box_of, asking, _wait_s(meta))
    return await invoke(params.name, arguments, asking.caller, box=box)


def _wait_s(meta: Mapping[str, Any]) -> float:
    wait_ms = meta.get(WAIT, waiting.DEFAULT_WAIT_S * 1000)
    if isinstance(wait_ms, bool) or not isinstance(wait_ms, int | float):
        detail = f"`{WAIT}` in `_meta` is a number of milliseconds."
        raise ToolRefused(detail, code="invalid_arguments")
    return max(0.0, min(wait_ms / 1000, waiting.LONGEST_WAIT_S))


def _told(error: Exception) -> dict[str, Any]:
    """Say what went wrong; the particulars of a bug are in the log and nowhere else."""
    if isinstance(error, exposed.NotCompleted):
        return error.report
    if isinstance(error, ToolRefused):
        return error.as_json()
    if isinstance(error, OperationalError | InterfaceError):
        detail = "The database is away; try again in a moment."
        return ToolRefused(detail, code="unavailable").as_json()
    log.error("A tool failed", exc_info=error)
    detail = "Something went wrong here; the log says what."
    return ToolRefused(detail, code="internal_error").as_json()


def _result(value: Any, *, is_error: bool = False) -> types.CallToolResult:
    text = json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder)
    plain = json.loads(text)
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        # Earlier revisions of the protocol want an object here.
        structured_content=plain if isinstance(plain, dict) else {"result": plain},
        is_error=is_error,
    )


def _page(box: Mapping[str, Tool], cursor: str) -> types.ListToolsResult:
    tools = [tool for name, tool in box.items() if name == tool.name]
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise MCPError(types.INVALID_PARAMS, "The cursor is none of this server's.")
    start = int(cursor or 0)
    end = start + PAGE
    return types.ListToolsResult(
        tools=[_listed(tool) for tool in islice(tools, start, end)],
        next_cursor=str(end) if end < len(tools) else None,
        ttl_ms=0,
        cache_scope="private",
    )


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name, description=tool.description, input_schema=dict(tool.schema)
    )
