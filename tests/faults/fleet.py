"""
A fleet with servers of its own, so that everything in it may be killed.

PostgreSQL and Valkey, web, workers and reconcilers are real processes, each with a
name. Nothing here needs pytest: `with running() as fleet: ...` is a whole system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sysconfig
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from config.dev import embedded
from config.dev.guard import Guard
from config.dev.servers import Running
from tests.acceptance.sink import Effect, Sink
from tests.acceptance.system import until
from tests.faults import invariants
from tests.faults.postgres_proxy import PostgresProxy
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER, WEB, Processes
from tests.faults.proxy import Proxy
from tests.faults.valkey_proxy import ValkeyProxy

P = TypeVar("P", bound=Proxy)
NAMES = (WEB, CPU, CPU_2, IO, RECONCILER)
# What keeps most stories short; the promise's own numbers are the defaults.
SHORT_LEASE = {"CORE_LEASE_S": "6", "CORE_HEARTBEAT_S": "1.5"}
DEFAULT_LEASE = {"CORE_LEASE_S": "15", "CORE_HEARTBEAT_S": "5"}


def watch(seconds: float) -> None:
    """Let a fault last, or see that for so long nothing happens."""
    threading.Event().wait(seconds)


def _servers(folder: Path, guard: Guard) -> embedded.Servers:
    place = embedded.Place(
        site_packages=Path(sysconfig.get_path("purelib")),
        postgres=folder / "postgres",
        valkey=folder / "valkey",
        logs=folder,
        durable=True,  # what was committed survives a crash, or the tests mean nothing
        tied=False,
    )
    return embedded.servers({}, place, guard)


class Fleet(Processes):
    """`names` are the processes that run when nothing is wrong."""

    def __init__(
        self, names: tuple[str, ...] = NAMES, env: Mapping[str, str] | None = None
    ) -> None:
        guard = Guard()
        folder = embedded.temporary(guard)
        self.names = names
        self.traces, self.fuses = folder / "traces", folder / "fuses"
        self.traces.mkdir()
        self.fuses.mkdir()
        self.servers = _servers(folder, guard)
        self.servers.start()
        self.sink = Sink()
        self.sink.start()
        self.proxies: list[Proxy] = []
        self.since: datetime = invariants.EVER
        super().__init__(
            folder / "fleet", self._env() | dict(env or {}), guard=guard, workers=2
        )

    def _env(self) -> dict[str, str]:
        return {
            "CORE_SECRET_KEY": secrets.token_urlsafe(50),
            **os.environ,
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "CORE_FUNCTION_MODULES": "tests.acceptance.work,tests.faults.work",
            "CORE_TEST_TRACES": str(self.traces),
            "CORE_TEST_SINK": self.sink.address,
            "CORE_FAIL_DIR": str(self.fuses),
            "CORE_HTTP_ALLOWED_HOSTS": self.sink.address,
            **SHORT_LEASE,
        }

    def start(self) -> None:
        self.heal()

    # --- servers ----------------------------------------------------------------

    @property
    def postgres(self) -> Running:
        assert self.servers.postgres is not None
        return self.servers.postgres

    @property
    def valkey(self) -> Running:
        assert self.servers.valkey is not None
        return self.servers.valkey

    def halt_postgres(self) -> None:
        """Stop PostgreSQL at once: connections break, recovery follows the start."""
        self.postgres.child.signal(signal.SIGQUIT)
        assert self.postgres.child.wait(20) is not None, "PostgreSQL does not stop"
        self.postgres.child.finish()

    @property
    def postgres_socket(self) -> Path:
        server: Any = self.postgres.server
        return Path(server.sockets) / ".s.PGSQL.5432"

    def postgres_proxy(self) -> PostgresProxy:
        return self._kept(PostgresProxy(self.postgres_socket))

    def valkey_proxy(self) -> ValkeyProxy:
        server: Any = self.valkey.server
        return self._kept(ValkeyProxy(server.socket))

    def post(self, path: str, body: Any, *, status: int) -> Any:
        """Post, and again after a 503: it asks for that with `Retry-After`."""
        answer = until(lambda: self._answer("POST", path, json=body), what="an answer")
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = until(lambda: self._answer("GET", path), what="an answer")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        answer = self.client.request(method, path, **options)
        return None if answer.status_code == 503 else answer

    def _kept(self, proxy: P) -> P:
        proxy.start()
        self.proxies.append(proxy)
        return proxy

    # --- before and after a story -----------------------------------------------

    def begin(self) -> None:
        """Forget what stories before left behind; this one is counted from now."""
        self.sink.effects.clear()
        self.sink.script.clear()
        for file in (*self.traces.iterdir(), *self.fuses.iterdir()):
            file.unlink()
        ((self.since,),) = self.query("SELECT clock_timestamp()")

    def release(self, name: str) -> None:
        """Let the work end that waits for this."""
        (self.traces / name).touch()

    def seen(self, moment: str, step: str) -> list[Effect]:
        """What the sink saw of a step's attempts: each `begin`, `tick` or `end`."""
        return [
            each for each in self.sink.at(f"/{moment}") if each.body["step"] == step
        ]

    def begun(self) -> dict[str, int]:
        """How often each step began, as the sink saw it."""
        return dict(Counter(each.body["step"] for each in self.sink.at("/begin")))

    def begun_at(self, execution: str) -> dict[str, int]:
        """How often each step run of an execution began, by its path."""
        rows = self.query(
            "SELECT id::text, path FROM executions_steprun WHERE execution_id = %s",
            execution,
        )
        paths = dict(rows)
        return dict(
            Counter(
                paths.get(each.key, f"unknown key {each.key}")
                for each in self.sink.at("/begin")
                if each.body["execution"] == execution
            )
        )

    def has_reached(self, point: str) -> bool:
        """Tell whether a fail-point that is limited by `*times` has gone off."""
        return any(file.name.startswith(f"{point}-") for file in self.fuses.iterdir())

    def violations(self, *, lost_nothing: bool = False) -> list[str]:
        return invariants.violations(
            self.env["DATABASE_URL"],
            self.sink.effects,
            since=self.since,
            lost_nothing=lost_nothing,
        )

    def restore_servers(self) -> None:
        """Let everything reach everything again."""
        for server in self.servers.running:
            server.start()
        for proxy in self.proxies:
            proxy.mend()
        self.thaw_all()

    def heal(self) -> None:
        """Bring back what runs when nothing is wrong, and end what else does."""
        self.restore_servers()
        for name in tuple(self.children):
            if name not in self.names:
                self.kill(name)
        broken = [name for name in self.names if not self.is_as_it_was(name)]
        for name in broken:
            self.launch(name)
        for name in self.names:
            self.await_ready(name)

    def close_proxies(self) -> None:
        while self.proxies:
            self.proxies.pop().stop()

    def stop(self) -> None:
        for name in tuple(self.children):
            self.kill(name)
        self.close_proxies()
        self.sink.stop()
        self.servers.stop()
        super().stop()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Fleet]:
    """A whole fleet for the length of a `with` block."""
    fleet = Fleet(**options)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()
