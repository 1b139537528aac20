"""
HTTP to a server as HTTP roles have it: judged addresses only, and bounded answers.

The address that was judged is the one that is dialled; TLS keeps to the name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from roles.runners.addresses import CONNECT_TIMEOUT_S, AllowedHosts, resolve
from roles.servers.endpoints import Endpoint, ServerFault, Streams

MAX_BYTES = 8 * 1024 * 1024  # of all answers of a session
MAX_EVENT = 4 * 1024 * 1024
_PORTS = {"http": 80, "https": 443}


@asynccontextmanager
async def posted(endpoint: Endpoint) -> AsyncIterator[Streams]:
    """Lend the streams that talk to the server at a URL."""
    headers = {name: str.__str__(value) for name, value in endpoint.headers.items()}
    client = httpx2.AsyncClient(
        transport=Guarded(endpoint.allowed_hosts),
        headers={**headers, "accept-encoding": "identity"},
        timeout=httpx2.Timeout(endpoint.timeout_s, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
    )
    async with (
        client,
        streamable_http_client(
            endpoint.url, http_client=client, max_sse_event_size=MAX_EVENT
        ) as streams,
    ):
        yield streams


class Guarded(httpx2.AsyncBaseTransport):
    """Dials checked addresses, and reads so many bytes in all and no more."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed = allowed
        self._left = MAX_BYTES
        self._dialler = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        port = request.url.port or _PORTS[request.url.scheme]
        failure: Exception | None = None
        for address in await resolve(host, port, self._allowed):
            try:
                answer = await self._dialler.handle_async_request(_to(address, request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
                failure = problem
            else:
                return self._bounded(answer)
        raise failure or httpx2.ConnectError(f"{host} has no address")

    def _bounded(self, answer: httpx2.Response) -> httpx2.Response:
        encoding = answer.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            detail = f"The answer is encoded as {encoding[:40]!r}, unasked."
            raise ServerFault(detail, code="bad_response")
        return httpx2.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Counted(answer.stream, self._spend),
            extensions=answer.extensions,
        )

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            detail = f"The server said more than {MAX_BYTES:,} bytes."
            raise ServerFault(detail, code="too_large")

    async def aclose(self) -> None:
        await self._dialler.aclose()


class _Counted(httpx2.AsyncByteStream):
    """The bytes of an answer, each of which is paid for."""

    def __init__(self, stream: Any, spend: Callable[[int], None]) -> None:
        self._stream, self._spend = stream, spend

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._spend(len(piece))
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _to(address: str, request: httpx2.Request) -> httpx2.Request:
    """Send a request to an address; its Host header, and TLS, keep to the name."""
    named = {**request.extensions, "sni_hostname": request.url.host}
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=named,
    )
