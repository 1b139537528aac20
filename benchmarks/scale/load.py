"""Many clients at once, each with a connection of its own and a request at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from benchmarks.core.client import Client
from benchmarks.figures import p99
from benchmarks.scale.kinds import Kind

CLIENTS, SLOWEST_S = 16, 120
MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What some seconds of one kind of request gave."""

    seconds: float
    latencies_ms: Sequence[float]

    @property
    def rate(self) -> float:
        return len(self.latencies_ms) / self.seconds

    @property
    def p50_ms(self) -> float:
        return median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        return p99(self.latencies_ms)


def put(port: int, kind: Kind, *, seconds: float, clients: int = CLIENTS) -> Answers:
    """Ask for one kind of thing from so many threads for so long."""
    begin = threading.Barrier(clients)

    def ask(_number: int) -> list[float]:
        with Client(port, kind.token) as client:
            _once(client, kind)
            client.close()  # the server would, of those that wait for the slowest
            begin.wait(SLOWEST_S)
            return _asked(client, kind, seconds)

    with ThreadPoolExecutor(clients) as threads:
        found = [each for one in threads.map(ask, range(clients)) for each in one]
    return Answers(seconds=seconds, latencies_ms=found)


def _asked(client: Client, kind: Kind, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    found = []
    while (began := time.perf_counter()) < end:
        _once(client, kind)
        found.append((time.perf_counter() - began) * MS)
    return found


def _once(client: Client, kind: Kind) -> None:
    if kind.method == "POST":
        client.post(kind.path, b'{"input": {}}')
    else:
        client.read(kind.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Stretches of the same load at different times, each beside another's."""

    parts: Sequence[Answers]

    @property
    def whole(self) -> Answers:
        return Answers(
            seconds=sum(part.seconds for part in self.parts),
            latencies_ms=[each for part in self.parts for each in part.latencies_ms],
        )

    def times(self, other: Rounds) -> float:
        """Return the median over the rounds of how many times the p50 of another's."""
        pairs = zip(self.parts, other.parts, strict=True)
        return median(mine.p50_ms / its.p50_ms for mine, its in pairs)
