"""Ask a server for its tools, and believe no more of the answer than is good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.client.session import ClientSession

from roles.servers.endpoints import Endpoint
from roles.servers.sessions import in_session
from roles.storable import storable_problems
from roles.toolkit import as_arguments

MAX_TOOLS = 1_000
MAX_PAGES = 50
LONGEST_NAME = 200
LONGEST_DESCRIPTION = 2_000
LONGEST_SCHEMA = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideTool:
    """A tool of a server, as it described itself; the texts are a stranger's."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a server offers; incomplete when that is more than is read."""

    tools: tuple[OutsideTool, ...]
    is_complete: bool


async def listed(endpoint: Endpoint) -> Listing:
    """Return the tools of a server; raises ServerFault."""

    async def work(session: ClientSession) -> Listing:
        found: dict[str, OutsideTool] = {}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await session.list_tools(
                params=types.PaginatedRequestParams(cursor=cursor)
            )
            for tool in page.tools:
                if len(found) == MAX_TOOLS:
                    return _listing(found, is_complete=False)
                if (sound := _sound(tool)) is not None:
                    found.setdefault(sound.name, sound)
            if not (cursor := page.next_cursor):
                return _listing(found, is_complete=True)
        return _listing(found, is_complete=False)

    return await in_session(endpoint, work)


def _listing(found: Mapping[str, OutsideTool], *, is_complete: bool) -> Listing:
    return Listing(tools=tuple(found.values()), is_complete=is_complete)


def _sound(tool: types.Tool) -> OutsideTool | None:
    """Return a tool that can be offered; None for one that no model could take."""
    name, description = tool.name, (tool.description or "")[:LONGEST_DESCRIPTION]
    is_name = 0 < len(name) <= LONGEST_NAME and name.isprintable()
    if not is_name or storable_problems([name, description, tool.input_schema]):
        return None
    if len(json.dumps(tool.input_schema)) > LONGEST_SCHEMA:
        return None
    return OutsideTool(
        name=name, description=description, schema=as_arguments(tool.input_schema)
    )
