"""What the figures were measured on, and what a commit costs at least on its disk."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from benchmarks.servers import Servers

FSYNCS = 50
PAGE = b"\0" * 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`fsync_ms` is the median of writing a page and waiting until it is stored."""

    date: str
    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    postgres: str
    valkey: str
    fsync_ms: float
    load_before: float

    @classmethod
    def described(cls, servers: Servers) -> Self:
        with servers.connect() as admin, servers.broker() as broker:
            ((postgres,),) = admin.execute("SHOW server_version").fetchall()
            valkey = dict(broker.info("server"))
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            processor=_first("/proc/cpuinfo", r"model name\s*: (.+)"),
            cores=len(os.sched_getaffinity(0)),
            memory_gb=int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)"))
            // 2**10
            / 2**10,
            kernel=platform.release(),
            python=platform.python_version(),
            postgres=str(postgres),
            valkey=str(valkey.get("valkey_version", valkey["redis_version"])),
            fsync_ms=fsync_ms(servers.folder),
            load_before=os.getloadavg()[0],
        )


def fsync_ms(folder: Path) -> float:
    """Measure it where the servers keep their files."""
    path = folder / "fsync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            since = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - since) * 1000)
    path.unlink()
    return statistics.median(taken)


def _first(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1] if found else "0"
