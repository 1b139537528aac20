"""
A session with a server: opened for one piece of work, and closed behind it.

So nothing of a server outlives a call: no process, no connection and no state, and one
that hangs costs its own call only. Whatever goes wrong becomes a ServerFault.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation

from roles.runners.base import RunnerError
from roles.servers.endpoints import Endpoint, ServerFault
from roles.servers.guarded import posted
from roles.servers.pipes import piped

log = logging.getLogger(__name__)

LONGEST_TEXT = 1_000
_WE = Implementation(name="core-orchestration", version="1")

T = TypeVar("T")

# Servers of the older protocol, by name and place: they are not asked for the newer one
# again, to which some do not answer at all.
MOST_REMEMBERED = 1_000
_older: set[tuple[str, str, tuple[str, ...]]] = set()


async def in_session(
    endpoint: Endpoint, work: Callable[[ClientSession], Awaitable[T]]
) -> T:
    """Do something with a server within its time limit; raises ServerFault."""
    known = (endpoint.name, endpoint.url, endpoint.command)
    mode = "legacy" if known in _older else "auto"
    try:
        with anyio.fail_after(endpoint.timeout_s):
            transport = posted(endpoint) if endpoint.url else piped(endpoint)
            async with Client(
                transport, client_info=_WE, cache=None, mode=mode
            ) as client:
                if client.session.initialize_result is not None:
                    _remember(known)
                return await work(client.session)
    except Exception as error:  # noqa: BLE001  (the other side may cause any)
        _older.discard(known)
        raise _fault(error, endpoint) from None


def _remember(server: tuple[str, str, tuple[str, ...]]) -> None:
    if len(_older) >= MOST_REMEMBERED:
        _older.clear()
    _older.add(server)


def _fault(error: Exception, endpoint: Endpoint) -> ServerFault:
    cause = _cause(error)
    detail, code = _words(cause, endpoint)
    text = endpoint.redactor.text(detail)[:LONGEST_TEXT]
    return ServerFault(f"The MCP server {endpoint.name!r}: {text}", code=code)


def _words(cause: BaseException, endpoint: Endpoint) -> tuple[str, str]:
    if isinstance(cause, ServerFault):
        return cause.detail, cause.code
    if isinstance(cause, RunnerError):
        return cause.message, cause.type
    if isinstance(cause, TimeoutError):
        return f"No answer in {endpoint.timeout_s:.3g} s.", "mcp_server_timeout"
    if isinstance(cause, MCPError):
        return cause.message, "mcp_server_failed"
    log.info("The MCP server %r failed: %s", endpoint.name, type(cause).__name__)
    return f"{type(cause).__name__}: {cause}", "mcp_server_failed"


def _cause(error: BaseException) -> BaseException:
    """Find the first cause among those that ended the session's tasks together."""
    found = list(_leaves(error))
    known = (ServerFault, RunnerError, TimeoutError)
    return next((each for each in found if isinstance(each, known)), found[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
