"""
The processes of a fleet, each by its name: started, killed, frozen, and found.

A process may be started with more in its environment, such as a fail-point.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from config.dev.process import Child, Spec
from tests.acceptance.system import System, until

WEB, CPU, CPU_2, IO = "web", "worker-cpu-1", "worker-cpu-2", "worker-io-1"
IO_2, RECONCILER, RECONCILER_2 = "worker-io-2", "reconciler", "reconciler-2"


class Processes(System):
    """`base` is the environment that a process has when nothing is wrong."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.base: dict[str, dict[str, str]] = {}
        self._extra: dict[str, dict[str, str]] = {}
        self._frozen: set[str] = set()
        super().__init__(*args, **options)

    def launch(self, name: str, **env: str) -> Child:
        """Start a process, with more in its environment; it may not be ready yet."""
        if name in self.children:
            self.kill(name)
        self._extra[name] = extra = self.base.get(name, {}) | env
        spec = self.spec(name)
        named = {**spec.env, "PGAPPNAME": name, **extra}
        return self.start_one(replace(spec, env=named))

    def restart(self, name: str, **env: str) -> Child:
        child = self.launch(name, **env)
        self.await_ready(name)
        return child

    def spec(self, name: str) -> Spec:
        specs = {spec.name: spec for spec in self.application.specs()}
        if name != RECONCILER_2:
            return specs[name]
        log = self.application.data.log(name)
        return replace(specs[RECONCILER], name=name, log=log)

    def kill(self, name: str) -> None:
        """SIGKILL a process and all that it started; frozen ones, too."""
        self._frozen.discard(name)
        super().kill(name)

    def terminate(self, name: str, *, seconds: float = 30) -> int | None:
        """Ask a process to end as a deploy does; None if it does not in time."""
        child = self.children[name]
        child.signal(signal.SIGTERM)
        code = child.wait(seconds)
        self.kill(name)
        return code

    def freeze(self, name: str) -> None:
        os.killpg(self.children[name].pid, signal.SIGSTOP)
        self._frozen.add(name)

    def thaw(self, name: str) -> None:
        os.killpg(self.children[name].pid, signal.SIGCONT)
        self._frozen.discard(name)

    def thaw_all(self) -> None:
        for name in tuple(self._frozen):
            self.thaw(name)

    def await_ready(self, name: str, *, seconds: float = 60) -> None:
        until(lambda: self.is_ready(name), seconds=seconds, what=f"{name} ready")

    def is_ready(self, name: str) -> bool:
        if name == WEB:
            with contextlib.suppress(httpx.HTTPError):
                url = f"http://127.0.0.1:{self.port}/healthz"
                return httpx.get(url, timeout=5).status_code == 200
            return False
        if name.startswith(RECONCILER):
            sql = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
            return bool(self.query(sql, name))
        return len(self.pids(name)) >= (2 if "cpu" in name else 1)

    def pids(self, name: str) -> list[int]:
        """The processes of a worker that hold a lease: children of prefork each."""
        rows = self.query("SELECT pid FROM executions_worker WHERE lease_until > now()")
        return [pid for (pid,) in rows if self._is_of(pid, name)]

    def holder(self, step_run: str) -> tuple[str, int]:
        """The worker that runs a step, and the process of it that does."""
        rows = self.query(
            "SELECT w.pid FROM executions_worker w "
            "JOIN executions_steprun s ON s.worker = w.id WHERE s.id = %s",
            step_run,
        )
        (pid,) = rows[0]
        return next(name for name in self.children if self._is_of(pid, name)), pid

    def _is_of(self, pid: int, name: str) -> bool:
        with contextlib.suppress(ProcessLookupError):
            return name in self.children and os.getpgid(pid) == self.children[name].pid
        return False

    def log_file(self, name: str) -> Path:
        return self.spec(name).log

    def log(self, name: str) -> str:
        return self.log_file(name).read_text(errors="replace")

    def is_as_it_was(self, name: str) -> bool:
        """Tell whether a process runs in its own environment."""
        child = self.children.get(name)
        alive = child is not None and child.poll() is None
        return alive and self._extra[name] == self.base.get(name, {})

    def query(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL as an onlooker; a broken connection is made anew once."""
        try:
            return self.database.execute(sql, params).fetchall()
        except psycopg.OperationalError:
            self.database.close()
            self.database = psycopg.connect(self.env["DATABASE_URL"], autocommit=True)
            return self.database.execute(sql, params).fetchall()
