"""
The client's side of Restate: HTTP to the server's ingress.

An invocation is one POST, which is answered when the invocation has completed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Self

import aiohttp
from serving import Stopwatch

HEADERS = {"Content-Type": "application/json"}


class Ingress:
    """Invokes handlers of the service: one at a time, or many at once."""

    def __init__(self, address: str) -> None:
        self.runner = asyncio.Runner()
        self.connection = http.client.HTTPConnection(address)
        self.session = self.runner.run(_session(f"http://{address}/bench/"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.runner.run(self.session.close())
        self.runner.close()

    def reconnect(self) -> None:
        """Let the next request open a connection: this one was idle for long."""
        self.connection.close()

    def invoke(self, handler: str, argument: float) -> None:
        body = json.dumps(argument)
        self.connection.request("POST", f"/bench/{handler}", body, HEADERS)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{handler} was answered {answer.status}: {said!r}")

    def invoke_many(self, count: int, handler: str, argument: float) -> float:
        """Return the seconds from the first request to the last answer."""
        watch = Stopwatch()
        self.runner.run(self._post_all(count, handler, argument))
        return watch.seconds

    async def _post_all(self, count: int, handler: str, argument: float) -> None:
        await asyncio.gather(*[self._post(handler, argument) for _ in range(count)])

    async def _post(self, handler: str, argument: float) -> None:
        async with self.session.post(handler, json=argument) as answer:
            answer.raise_for_status()
            await answer.read()


async def _session(base: str) -> aiohttp.ClientSession:
    """Open as many connections as there are requests, each for as long as needed."""
    return aiohttp.ClientSession(
        base,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
    )
