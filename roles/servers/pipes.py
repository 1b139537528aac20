"""
A server that a command starts: MCP over its standard input and output.

It gets an environment of its own, a process group of its own, and ends with the
session. The SDK's transport has no bounds: a line without an end would fill the memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage

from roles.servers.endpoints import Endpoint, ServerFault, Streams

MAX_LINE = 4 * 1024 * 1024
MAX_BYTES = 16 * 1024 * 1024  # of all lines of a session
MAX_LINES = 5_000  # each of which costs the event loop some time
LEAVE_S = 1.0  # to end by itself once its input is closed, and then once more
_INHERITED = ("PATH", "HOME", "LANG")


@asynccontextmanager
async def piped(endpoint: Endpoint) -> AsyncIterator[Streams]:
    """Start the command and lend the streams that talk to it; it is gone afterwards."""
    process = await _started(endpoint)
    arrived, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with (
            anyio.create_task_group() as tasks,
            arrived,
            incoming,
            outgoing,
            leaving,
        ):
            tasks.start_soon(_read, process, arrived)
            tasks.start_soon(_write, process, leaving)
            yield incoming, outgoing
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _ended(process)


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """Make a command's environment: nothing of ours, save where programs are found."""
    ours = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**ours, **{name: str.__str__(value) for name, value in given.items()}}


async def _started(endpoint: Endpoint) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *endpoint.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # it could fill any log
            env=environment_of(endpoint.environment),
            cwd="/",  # many servers read the .env of the folder that they are in
            start_new_session=True,
            limit=MAX_LINE,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        detail = f"The command {endpoint.command[0]!r} cannot be started: {reason}."
        raise ServerFault(detail, code="mcp_server_unreachable") from None


async def _read(process: asyncio.subprocess.Process, arrived: Any) -> None:
    """Pass on what the server says, line by line, up to so many bytes."""
    lines = total = 0
    async with arrived:
        while line := await _line(process):
            lines, total = lines + 1, total + len(line)
            if total > MAX_BYTES or lines > MAX_LINES:
                raise _too_much(min(total, MAX_BYTES))
            try:
                message = types.jsonrpc_message_adapter.validate_json(
                    line, by_name=False
                )
            except ValueError:
                continue  # some servers print what belongs to their log
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await arrived.send(SessionMessage(message))


async def _line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        return b""
    try:
        return await process.stdout.readline()
    except ValueError:
        raise _too_much(MAX_LINE) from None


def _too_much(said: int) -> ServerFault:
    detail = f"The server says too much: {said:,} bytes, and it goes on."
    return ServerFault(detail, code="too_large")


async def _write(process: asyncio.subprocess.Process, leaving: Any) -> None:
    async with leaving:
        async for each in leaving:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            if process.stdin is None:
                return
            try:
                process.stdin.write(f"{text}\n".encode())
                await process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                return  # it is gone; the reader finds that out as well


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Close its input, ask it to end, kill it: whatever is left of its group."""
    if process.stdin is not None:
        process.stdin.close()
    if process.stdout is not None:
        process.stdout._transport.close()  # type: ignore[attr-defined]
    for order in (None, signal.SIGTERM, signal.SIGKILL):
        if order is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, order)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await process.wait()
