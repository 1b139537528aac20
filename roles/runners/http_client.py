"""
Send a request and read its answer, within bounds of size and hops.

Each event loop has one pool of kept-alive connections. The pool is used directly:
no cookies are kept, no proxy is taken from the environment, no URL is logged.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext
from weakref import WeakKeyDictionary

import httpcore
import httpx

from roles.runners.addresses import AllowedHosts, GuardedBackend
from roles.runners.base import RunnerError
from roles.runners.http_request import Request, bad_request

MAX_REDIRECTS = 5
MAX_CONNECTIONS = 100
KEPT_CONNECTIONS = 20
KEPT_FOR_S = 30.0

_REDIRECTS = {301, 302, 303, 307, 308}
_PIECE = 65_536

_POOLS: WeakKeyDictionary[
    asyncio.AbstractEventLoop, tuple[AllowedHosts, httpcore.AsyncConnectionPool]
] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, read to its end; header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def exchange(
    request: Request,
    *,
    allowed: AllowedHosts,
    max_bytes: int,
    follow_redirects: bool,
    timeout_s: float,
) -> Answer:
    """
    Send a request, follow its redirects, and return the answer.

    Raises RunnerError: `http_connection` (worth another attempt), and for good
    `address_refused`, `response_too_large`, `too_many_redirects`, `bad_response`.
    """
    host = request.url.host
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(request, allowed, max_bytes, follow_redirects)
    except TimeoutError:
        raise _unreachable(
            f"{host} gave no complete answer in {timeout_s:.3g} s."
        ) from None
    except httpcore.LocalProtocolError as problem:
        raise bad_request(f"The request cannot be sent: {problem}.") from problem
    except (
        httpcore.NetworkError,
        httpcore.RemoteProtocolError,
        httpcore.TimeoutException,
    ) as problem:
        reason = str(problem) or type(problem).__name__
        raise _unreachable(f"The call to {host} failed: {reason}.") from problem


async def close() -> None:
    """Close the kept connections of the running event loop."""
    _, pool = _POOLS.pop(asyncio.get_running_loop(), (None, None))
    if pool is not None:
        await pool.aclose()


async def _follow(
    request: Request, allowed: AllowedHosts, max_bytes: int, follow: bool
) -> Answer:
    for _ in range(MAX_REDIRECTS + 1):
        answer, location = await _send(request, allowed, max_bytes, follow)
        if location is None:
            return answer
        request = request.redirected(answer.status, location)
    raise RunnerError(
        f"More than {MAX_REDIRECTS} redirects.",
        type="too_many_redirects",
        retryable=False,
    )


async def _send(
    request: Request, allowed: AllowedHosts, max_bytes: int, follow: bool
) -> tuple[Answer, str | None]:
    async with _pool(allowed).stream(
        request.method,
        httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=_wire_headers(request),
        content=request.body,
    ) as response:
        headers = _read_headers(response.headers)
        location = headers.get("location")
        if follow and response.status in _REDIRECTS and location is not None:
            return Answer(status=response.status, headers=headers, body=b""), location
        body = await _read(response, headers, max_bytes)
        return Answer(status=response.status, headers=headers, body=body), None


def _pool(allowed: AllowedHosts) -> httpcore.AsyncConnectionPool:
    loop = asyncio.get_running_loop()
    known, pool = _POOLS.get(loop, (None, None))
    if pool is None or known != allowed:
        for closed in [each for each in _POOLS if each.is_closed()]:
            del _POOLS[closed]
        pool = httpcore.AsyncConnectionPool(
            ssl_context=_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_FOR_S,
            network_backend=GuardedBackend(allowed),
        )
        _POOLS[loop] = allowed, pool
    return pool


@cache
def _ssl_context() -> SSLContext:
    return httpx.create_ssl_context()


def _wire_headers(request: Request) -> list[tuple[bytes, bytes]]:
    headers = {
        "Host": request.url.netloc.decode("ascii"),
        "User-Agent": "core-orchestration",
        "Accept-Encoding": "gzip",  # the one whose output can be bounded by zlib
        **request.headers,
    }
    if request.body is not None:
        headers["Content-Length"] = str(len(request.body))
    return [(name.encode("ascii"), value.encode()) for name, value in headers.items()]


def _read_headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _read(
    response: httpcore.Response, headers: Mapping[str, str], max_bytes: int
) -> bytes:
    body = bytearray()
    pieces = _decoded(response.aiter_stream(), headers.get("content-encoding", ""))
    async with aclosing(pieces):
        async for piece in pieces:
            body += piece
            if len(body) > max_bytes:
                raise RunnerError(
                    f"The answer is larger than {max_bytes} bytes.",
                    type="response_too_large",
                    retryable=False,
                )
    return bytes(body)


def _decoded(stream: AsyncIterable[bytes], encoding: str) -> AsyncGenerator[bytes]:
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return _plain(stream)
    if encoding in {"gzip", "x-gzip"}:
        return _unzipped(stream)
    raise _bad_response(
        f"The answer is encoded as {encoding!r}, which was not asked for."
    )


async def _plain(stream: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    async for piece in stream:
        yield piece


async def _unzipped(stream: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """Unpack in small pieces, so that a bomb is noticed before it has grown."""
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    started = False
    async for data in stream:
        started = True
        while data:
            if decoder.eof:  # one more gzip member follows
                decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                yield decoder.decompress(data, _PIECE)
            except zlib.error:
                raise _bad_response("The answer is not the gzip it claims.") from None
            data = decoder.unconsumed_tail or decoder.unused_data
    if started and not decoder.eof:
        raise _bad_response("The answer's gzip ends too early.")


def _unreachable(message: str) -> RunnerError:
    return RunnerError(message, type="http_connection", retryable=True)


def _bad_response(message: str) -> RunnerError:
    return RunnerError(message, type="bad_response", retryable=False)
