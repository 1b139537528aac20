"""
The fleet of a chaos run: asked from many threads, some of whose faults overlap.

Who strikes a process or a server reserves it first; whatever ends unreserved has
ended by itself, which is noted, and is started again as any supervisor would.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from config.dev.process import Child, Spec, ending
from config.dev.terminal import StoppedError
from tests.acceptance.system import until
from tests.faults.fleet import DEFAULT_LEASE, NAMES, Fleet
from tests.faults.processes import IO_2

POSTGRES, VALKEY = "postgres", "valkey"
_AWAY_S = 60.0

_AT_WORK = """
SELECT w.pid, s.execution_id::text, s.path FROM executions_worker w
JOIN executions_steprun s ON s.worker = w.id
WHERE s.status = 'running' AND w.lease_until > clock_timestamp()
"""


class NothingToStrike(Exception):
    """Every target of this kind is being struck by something else."""


@dataclass(frozen=True, slots=True)
class Work:
    """A step that a process runs."""

    pid: int
    execution: str
    path: str


class ChaosFleet(Fleet):
    """`ended` tells which processes ended by themselves."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self._closed = False
        self._reserved: set[str] = set()
        self._asking, self._changing = threading.RLock(), threading.RLock()
        super().__init__(names=(*NAMES, IO_2), env=DEFAULT_LEASE)

    # --- PostgreSQL, as an onlooker sees it -------------------------------------

    def look(self, sql: str, *params: Any) -> list[tuple[Any, ...]] | None:
        """Ask PostgreSQL; None while it is away."""
        with self._asking, contextlib.suppress(psycopg.OperationalError):
            return super().query(sql, *params)
        return None

    def query(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL, and wait for it while it is away."""

        def answer() -> tuple[list[tuple[Any, ...]]] | None:
            if self._closed:
                raise StoppedError
            rows = self.look(sql, *params)
            return None if rows is None else (rows,)

        (rows,) = until(answer, seconds=_AWAY_S, what="PostgreSQL's return")
        return list(rows)

    def work_of(self, name: str) -> list[Work]:
        """List what a worker runs; nothing while PostgreSQL is away."""
        rows = [Work(*row) for row in self.look(_AT_WORK) or ()]
        return [work for work in rows if _group_of(work.pid) == self.children[name].pid]

    # --- who may be struck ------------------------------------------------------

    @contextlib.contextmanager
    def reserved(self, names: Iterable[str], pick: float) -> Iterator[str]:
        """Choose one that nobody else strikes, and keep the others off it."""
        with self._changing:
            free = sorted(set(names) - self._reserved)
            if not free:
                raise NothingToStrike
            chosen = free[int(pick * len(free))]
            self._reserved.add(chosen)
        try:
            yield chosen
        finally:
            with self._changing:
                self._reserved.discard(chosen)

    def supervise(self) -> None:
        """Start again what has ended by itself, and note it."""
        with self._changing:
            for name in set(self.names) - self._reserved:
                code = self.children[name].poll()
                if code is not None:
                    self.ended.append(f"{name} {ending(code)} by itself")
                    self.launch(name)

    # --- beginning and end ------------------------------------------------------

    def start_one(self, spec: Spec) -> Child:
        with self._changing:
            if self._closed:
                raise StoppedError
            return super().start_one(spec)

    def stop(self) -> None:
        with self._changing:
            self._closed = True
        super().stop()


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None
