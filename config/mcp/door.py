"""
`/mcp`: who may come in is decided here, before MCP sees anything of a request.

Each request stands alone (no sessions), so any web process can take it, and only POST
means something.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from rest_framework.exceptions import MethodNotAllowed

from config.mcp import server
from config.mcp.callers import Asking, by_key
from executions.live.view import KeyNeeded, KeyRefused
from roles.rest.authentication import SCHEME
from roles.rest.problems import ApiProblem, problem_response
from roles.toolkit.threads import in_thread

PATHS = frozenset({"/mcp", "/mcp/"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ASKING = "core.asking"
_LOCAL = [".localhost", "127.0.0.1", "[::1]"]  # as Django has it while debugging


class WrongHost(ApiProblem):
    """The request was meant for another host."""

    status_code = 421
    default_code = "wrong_host"
    default_detail = (
        "This server does not answer to that host name; CORE_ALLOWED_HOSTS lists those "
        "that it does."
    )


class WrongOrigin(ApiProblem):
    """A page of another site sent the request."""

    status_code = 403
    default_code = "wrong_origin"
    default_detail = "Pages of that origin may not use this server."


class NotOpen(ApiProblem):
    """The web server runs the application without its lifespan."""

    status_code = 503
    default_code = "unavailable"
    default_detail = (
        "MCP is not served here: start the web server with its lifespan on."
    )


class Door:
    """The ASGI application at `/mcp`; it answers while it is `open`."""

    def __init__(self) -> None:
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Serve MCP for the lifetime of a web process."""
        manager = StreamableHTTPSessionManager(
            app=server.server_for(_asking_of),
            stateless=True,
            json_response=True,
            max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        )
        async with manager.run():
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            manager, asking = await self._admitted(scope)
        except Exception as error:
            if (problem := problem_response(error, {})) is None:
                raise
            await _answer(problem, send)
            return
        await manager.handle_request({**scope, _ASKING: asking}, receive, send)

    async def _admitted(
        self, scope: Scope
    ) -> tuple[StreamableHTTPSessionManager, Asking]:
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        _check_names({name: each.decode("latin-1") for name, each in headers.items()})
        asking = await _known(headers.get("authorization", b"").decode("latin-1"))
        if scope["method"] != "POST":
            raise _post_only(scope["method"])
        if self._manager is None:
            raise NotOpen
        return self._manager, asking


async def _asking_of(context: server.Context) -> Asking:
    request: Any = context.request
    asking: Asking = request.scope[_ASKING]
    return asking


def _check_names(headers: Mapping[str, str]) -> None:
    """Refuse what a page that rebinds a name to our address can send."""
    if not _is_ours(headers.get("host", "")):
        raise WrongHost
    origin = headers.get("origin")
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS:
        return
    if not _is_ours(urlsplit(origin).netloc):
        raise WrongOrigin


def _is_ours(host: str) -> bool:
    allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


async def _known(authorization: str) -> Asking:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise KeyNeeded
    asking = await in_thread(by_key, token.strip())
    if asking is None:
        raise KeyRefused(
            "The API key is unknown or revoked, or its user is not active."
        )
    return asking


def _post_only(method: str) -> MethodNotAllowed:
    refused = MethodNotAllowed(method)
    refused.headers = {"Allow": "POST"}  # type: ignore[attr-defined]
    return refused


async def _answer(problem: Any, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in problem.items()
    ]
    length = (b"content-length", str(len(problem.content)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": problem.status_code,
            "headers": [*headers, length],
        }
    )
    await send({"type": "http.response.body", "body": problem.content})
