"""
A proxy before Valkey that can publish every message several times.

It reads the commands that clients send; answers pass as they are. (To see writes
refused, no proxy is needed: a real Valkey does that, see `queues`.)
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

from executions.signatures import QUEUES
from tests.faults.proxy import Connection, Proxy, Streams

_QUEUES = {queue.encode() for queue in QUEUES}


class ValkeyProxy(Proxy):
    """`copies` is how often each message of the engine's queues is published."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.copies = 1
        self.multiplied = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def connection(self, here: Streams, there: Streams) -> Connection:
        return ValkeyConnection(self, here, there)

    def multiply(self, command: list[bytes]) -> list[bytes]:
        """Have a LPUSH to a queue push each message `copies` times."""
        is_message = command[0].upper() == b"LPUSH" and command[1] in _QUEUES
        if not is_message or self.copies == 1:
            return command
        self.multiplied += 1
        more = [twin(each) for each in command[2:] for _ in range(self.copies - 1)]
        return [*command, *more]


class ValkeyConnection(Connection):
    def __init__(self, proxy: ValkeyProxy, here: Streams, there: Streams) -> None:
        super().__init__(proxy, here, there)
        self._multiply = proxy.multiply

    async def to_server(self) -> None:
        while True:
            command = await _command(self.from_client)
            await self.send_server(_encoded(self._multiply(command)))


def twin(message: bytes) -> bytes:
    """Copy a message as a publisher's second try does: under a new delivery tag."""
    copy = json.loads(message)
    copy["properties"]["delivery_tag"] = str(uuid4())
    return json.dumps(copy).encode()


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    count = await _number(reader, b"*")
    command = []
    for _ in range(count):
        length = await _number(reader, b"$")
        command.append((await reader.readexactly(length + 2))[:-2])
    return command


async def _number(reader: asyncio.StreamReader, sign: bytes) -> int:
    line = await reader.readuntil(b"\r\n")
    assert line[:1] == sign, line
    return int(line[1:])


def _encoded(command: list[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"".join(parts)
