"""The application's processes, as the Procfile names them, with their command lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.dev.layout import ROOT, Data
from config.dev.process import Spec

POOL_SIZE_WEB, POOL_SIZE_IO = "8", "10"
IO_SLOTS = "1000"
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def processors() -> int:
    """Count the processors that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """How many of what to run, and with which Python."""

    python: Path
    data: Data
    env: Mapping[str, str]
    port: int
    workers: int
    processors: int

    def specs(self) -> list[Spec]:
        """List the processes in the order they are started, the web one first."""
        numbers = range(1, self.workers + 1)
        return [
            self._web(),
            *(self._cpu_worker(number) for number in numbers),
            *(self._io_worker(number) for number in numbers),
            self._spec("reconciler", "manage.py", "reconcile"),
        ]

    def bootstrap(self, *, demo: bool) -> Spec:
        """Describe the command that migrates and seeds, and then ends."""
        words = ("manage.py", "bootstrap", "--credentials", str(self.data.credentials))
        return self._spec("bootstrap", *words, *(("--demo",) if demo else ()))

    def _web(self) -> Spec:
        server = ("-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1")
        options = ("--port", str(self.port), "--timeout-graceful-shutdown", "3")
        words = (*server, *options, "--no-access-log")
        return self._spec("web", *words, pool_size=POOL_SIZE_WEB)

    def _cpu_worker(self, number: int) -> Spec:
        processes = str(max(2, self.processors))
        pool = ("-P", "prefork", "-c", processes, "-Q", "cpu.recovery,control,cpu")
        return self._worker(f"cpu-{number}", *pool)

    def _io_worker(self, number: int) -> Spec:
        slots = self.env.get("CORE_IO_SLOTS", IO_SLOTS)
        pool = ("-P", "threads", "-c", slots, "-Q", "io.recovery,io")
        return self._worker(f"io-{number}", *pool, pool_size=POOL_SIZE_IO)

    def _worker(self, name: str, *pool: str, pool_size: str = "") -> Spec:
        celery = ("-m", "celery", "-A", "config.celery", "worker")
        words = (*celery, *pool, "-n", f"{name}@%h", "-l", "INFO", *QUIET)
        return self._spec(f"worker-{name}", *words, pool_size=pool_size)

    def _spec(self, name: str, *words: str, pool_size: str = "") -> Spec:
        pool = {"CORE_DB_POOL_SIZE": pool_size} if pool_size else {}
        return Spec(
            name=name,
            command=(str(self.python), *words),
            env={**pool, **self.env},
            cwd=ROOT,
            log=self.data.log(name),
        )
