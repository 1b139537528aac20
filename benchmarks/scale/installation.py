"""
Installations side by side on the same servers, each with databases of its own.

One is asked over HTTP, when its fleet runs, or does a benchmark's works, when its
driver does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.core.fleet import Fleet, environment
from benchmarks.driver import Driver
from benchmarks.scale import history, samples
from benchmarks.servers import Servers
from benchmarks.systems import BY_NAME, CORE
from benchmarks.venvs import install
from config.dev.terminal import say


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`number` is that of its Valkey database."""

    servers: Servers
    name: str
    number: int

    @property
    def redis_url(self) -> str:
        return f"unix://{self.servers.redis_socket}?db={self.number}"

    @property
    def folder(self) -> Path:
        folder = self.servers.folder / "scale" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self) -> dict[str, str]:
        return environment(self.servers.database_url(self.name), self.redis_url)

    def create(self) -> None:
        self.servers.fresh_database(self.name)

    def drop(self) -> None:
        self.servers.drop_database(self.name)

    def seed(self, executions: int) -> float:
        """Make its past; returns how many seconds that took."""
        with self.fleet() as fleet:
            samples.make(fleet)
        past = history.History(executions=executions, with_events=executions)
        return history.seed(self.servers, self.name, past, lambda at: say(f"  {at}"))

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        """Run its processes."""
        fleet = Fleet(self.folder, self.environment())
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.stop()

    @contextmanager
    def driver(self, more: Mapping[str, str] | None = None) -> Iterator[Driver]:
        """Run its processes, and beside them one that does works."""
        core = BY_NAME[CORE]
        env = {
            **os.environ,
            "BENCH_DATABASE_URL": self.servers.database_url(self.name),
            "BENCH_REDIS_URL": self.redis_url,
            "BENCH_SCRATCH": str(self.folder),
            **(more or {}),
        }
        log = self.servers.logs / f"scale-{self.name}.log"
        guard = self.servers.guard
        with Driver(core, install(core), env, log=log, guard=guard) as driver:
            yield driver
