"""Call a tool of a server, and make a JSON value of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.client.session import ClientSession
from pydantic import TypeAdapter

from roles.servers.endpoints import Endpoint, ServerFault
from roles.servers.sessions import LONGEST_TEXT, in_session
from roles.storable import storable_problems

MAX_RESULT = 1024 * 1024
_ANSWER: TypeAdapter[types.CallToolResult] = TypeAdapter(types.CallToolResult)


async def called(endpoint: Endpoint, tool: str, arguments: Mapping[str, Any]) -> Any:
    """
    Return a tool's structured content, or its text; raises ServerFault.

    The answer is not held against the output schema that the server may have for it:
    that is the server's own claim, and it takes another look at its list.
    """

    async def work(session: ClientSession) -> types.CallToolResult:
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        request = types.CallToolRequest(params=params)
        return await session.send_request(request, _ANSWER)

    answer = await in_session(endpoint, work)
    if answer.is_error:
        text = endpoint.redactor.text(_text(answer))[:LONGEST_TEXT]
        raise ServerFault(text or "The tool failed.", code="mcp_tool_failed")
    return endpoint.redactor.value(_value(answer))


def _value(answer: types.CallToolResult) -> Any:
    value = answer.structured_content
    if value is None:
        value = _text(answer)
    if storable_problems(value):
        raise ServerFault("The tool's result is no plain JSON.", code="bad_response")
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_RESULT:
        raise ServerFault(
            f"The tool's result has {size:,} bytes; at most {MAX_RESULT:,} are taken.",
            code="too_large",
        )
    return value


def _text(answer: types.CallToolResult) -> str:
    return "\n".join(_part(part) for part in answer.content)


def _part(part: types.ContentBlock) -> str:
    """Write a part as text; pictures and sounds are named only."""
    if isinstance(part, types.TextContent):
        return part.text
    if isinstance(part, types.EmbeddedResource) and isinstance(
        part.resource, types.TextResourceContents
    ):
        return part.resource.text
    if isinstance(part, types.ResourceLink):
        return str(part.uri)
    return f"[{part.type}]"
