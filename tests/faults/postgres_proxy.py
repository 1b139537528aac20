"""
A proxy before PostgreSQL that can lose the reply of a statement that was done.

It reads the wire protocol's framing: Parse gives a prepared statement its SQL, Bind
gives a portal its statement, Execute runs a portal, and everything up to a Sync is
one request, which the server ends with ReadyForQuery.
"""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from pathlib import Path

from tests.faults.proxy import Connection, Proxy, Streams

_COMMIT = re.compile(r"\s*COMMIT\b", re.IGNORECASE)


class PostgresProxy(Proxy):
    """`lost` lists the statements whose replies were lost, in order."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.lost: list[str] = []
        self._pattern: re.Pattern[str] | None = None
        self._times = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        options = "sslmode=disable&gssencmode=disable"
        return f"postgresql://postgres@127.0.0.1:{self.port}/core?{options}"

    def lose_reply(self, pattern: str, *, times: int = 1) -> None:
        """
        Lose the reply of the next request that executes SQL matching `pattern`.

        Within a transaction it is the reply of the COMMIT that is lost. What the
        server refuses is passed on as it is.
        """
        with self._lock:
            self.lost = []
            self._pattern, self._times = re.compile(pattern, re.DOTALL), times

    def connection(self, here: Streams, there: Streams) -> Connection:
        return PostgresConnection(self, here, there)

    def wants(self, statements: list[str]) -> bool:
        with self._lock:
            pattern = self._pattern
            wanted = pattern is not None and self._times > 0
            return wanted and any(pattern.search(sql) for sql in statements)  # type: ignore[union-attr]

    def take(self, statement: str) -> bool:
        """Count a loss; False when another connection was faster."""
        with self._lock:
            if self._times <= 0:
                return False
            self._times -= 1
            self.lost.append(statement)
            return True


class PostgresConnection(Connection):
    """Follows which SQL each request executes."""

    def __init__(self, proxy: PostgresProxy, here: Streams, there: Streams) -> None:
        super().__init__(proxy, here, there)
        self.losses = proxy
        self._sql: dict[bytes, str] = {}
        self._portals: dict[bytes, bytes] = {}
        self._suspect: str | None = None  # the request at hand may lose its reply
        self._doomed: str | None = None  # and so may this transaction's COMMIT

    async def to_server(self) -> None:
        await self.send_server(await _startup(self.from_client))
        request, executed = b"", []
        while True:
            kind, body, raw = await _message(self.from_client)
            request += raw
            executed += self._executes(kind, body)
            if kind in b"SQXdcf":  # the end of a request, and COPY's messages
                self._judge(executed)
                await self.send_server(request)
                request, executed = b"", []

    def _executes(self, kind: bytes, body: bytes) -> list[str]:
        match kind:
            case b"P":
                name, sql, _ = body.split(b"\0", 2)
                self._sql[name] = sql.decode(errors="replace")
            case b"B":
                portal, name, _ = body.split(b"\0", 2)
                self._portals[portal] = name
            case b"E":
                portal = body.partition(b"\0")[0]
                return [self._sql.get(self._portals.get(portal, b""), "")]
            case b"Q":
                return [body.rstrip(b"\0").decode(errors="replace")]
        return []

    def _judge(self, executed: list[str]) -> None:
        if self.losses.wants(executed):
            self._suspect = executed[-1]
        elif self._doomed and any(map(_COMMIT.match, executed)):
            self._suspect = self._doomed

    async def to_client(self) -> None:
        answer, refused = b"", False
        while True:
            kind, body, raw = await _message(self.from_server)
            if self._suspect is None:
                await self.send_client(raw)
                continue
            answer, refused = answer + raw, refused or kind == b"E"
            if kind != b"Z":
                continue
            if not refused and body == b"I" and self.losses.take(self._suspect):
                return  # the statement is done, and nobody will hear of it
            self._doomed = self._suspect if body == b"T" and not refused else None
            self._suspect = None
            await self.send_client(answer)
            answer, refused = b"", False


async def _startup(reader: asyncio.StreamReader) -> bytes:
    """The first message has a length and no type; nobody asks for encryption."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack("!I", head)[0] - 4)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """Return a message's type, its body, and all of its bytes."""
    head = await reader.readexactly(5)
    body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
    return head[:1], body, head + body
