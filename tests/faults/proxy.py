"""
TCP proxies before PostgreSQL and Valkey that stand in for a bad network.

Each listens on a port of its own, runs in a thread of its own, and is told what to
do by plain calls: `cut()` lets no byte pass while connections stay open, `drop()`
closes all connections, `mend()` lets everything pass again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

_CHUNK = 1 << 16


class Proxy:
    """Bytes pass both ways; subclasses look at them."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen())
        self.mend()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # --- what a test may ask for ------------------------------------------------

    def cut(self) -> None:
        """Partition: no byte passes, and nobody is told."""

        async def close_gate() -> None:
            self._open.clear()

        self._call(close_gate())

    def mend(self) -> None:
        """Let everything pass, also what was held back meanwhile."""

        async def open_gate() -> None:
            self._open.set()

        self._call(open_gate())

    def drop(self) -> None:
        """Close all connections; new ones are welcome."""

        async def close_all() -> None:
            for writer in tuple(self._writers):
                writer.transport.abort()

        self._call(close_all())

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one connection ---------------------------------------------------------

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            await self._open.wait()
            there = await asyncio.open_unix_connection(str(self.target), limit=1 << 26)
            writers.append(there[1])
            self._writers.add(there[1])
            await self._run(self.connection((reader, writer), there))
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side has gone
        finally:
            for each in writers:
                self._writers.discard(each)
                each.transport.abort()

    async def _run(self, connection: Connection) -> None:
        """Pump both ways; when one way ends, so does the other."""
        ways = (connection.to_server(), connection.to_client())
        pumps = [self._loop.create_task(way) for way in ways]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def connection(self, here: Streams, there: Streams) -> Connection:
        return Connection(self, here, there)

    async def pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Write, once the way is open."""
        await self._open.wait()
        writer.write(data)
        await writer.drain()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """One client's way to the server and back."""

    def __init__(self, proxy: Proxy, here: Streams, there: Streams) -> None:
        self.proxy = proxy
        self.from_client, self._client = here
        self.from_server, self._server = there

    async def to_server(self) -> None:
        await self._pump(self.from_client, self._server)

    async def to_client(self) -> None:
        await self._pump(self.from_server, self._client)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            await self.proxy.pass_on(data, writer)

    async def send_server(self, data: bytes) -> None:
        await self.proxy.pass_on(data, self._server)

    async def send_client(self, data: bytes) -> None:
        await self.proxy.pass_on(data, self._client)
