"""
A provider of language models that thinks for a while and always says the same.

It speaks as much of OpenAI's chat protocol as a client needs, over connections that
stay open, and takes next to nothing of the machine: what is measured is the client.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from config.dev.guard import Guard
from config.dev.layout import ROOT

BACKLOG = 2_000  # all may come at once
HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


def answer(model: str) -> bytes:
    """Write what a model says, as it goes over the wire."""
    message = {"role": "assistant", "content": "This is what I think of it."}
    body: Mapping[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    text = json.dumps(body).encode()
    return HEAD.format(length=len(text)).encode() + text


def length_of(head: bytes) -> int:
    """Read how long the body is that follows the head of a request."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Answer request after request, each after so many seconds, until the client goes."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            asked = json.loads(await reader.readexactly(length_of(head)))
            await asyncio.sleep(seconds)
            writer.write(answer(asked["model"]))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(seconds: float) -> None:
    """Listen on a free port, and say on stdout which it is."""
    server = await asyncio.start_server(
        lambda reader, writer: converse(reader, writer, seconds),
        "127.0.0.1",
        0,
        backlog=BACKLOG,
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def running(guard: Guard, *, seconds: float) -> Iterator[str]:
    """Run it in a process of its own, for the length of a `with` block; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    guard.watch(process.pid, stop_signal=signal.SIGKILL, grace=0, tier=1)
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            yield f"http://127.0.0.1:{int(lines.readline())}/v1"
    finally:
        process.kill()
        process.wait()
        guard.forget(process.pid)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
