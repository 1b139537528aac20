"""The web process's ASGI application on a real port, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import uvicorn
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from config.asgi import application


@contextmanager
def served(app: Any = application) -> Iterator[str]:
    """Serve an application, and lend its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@asynccontextmanager
async def client_of(url: str, token: str, **options: Any) -> AsyncIterator[Client]:
    """Connect the official client with an API key."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(f"{url}/mcp", http_client=http), **options
        ) as client,
    ):
        yield client


def run(story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a story in a loop of its own, within 30 seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await story()

    return asyncio.run(bounded())
