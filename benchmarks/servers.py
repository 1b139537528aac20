"""
The PostgreSQL and the Valkey that all systems use in turn, and nobody else.

Both are as careful as in an installation: what was committed survives a crash.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from config.dev import embedded
from config.dev.guard import Guard
from config.dev.postgres import Postgres
from config.dev.servers import Running
from config.dev.valkey import Valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Running servers; `guard` ends what is started under it if this process dies."""

    guard: Guard
    folder: Path
    logs: Path
    postgres: Running
    valkey: Running
    postgres_sockets: Path
    redis_socket: Path

    @property
    def postgres_pid(self) -> int:
        return self.postgres.pid

    @property
    def valkey_pid(self) -> int:
        return self.valkey.pid

    @property
    def postgres_log(self) -> Path:
        return self.postgres.server.spec().log

    @property
    def redis_url(self) -> str:
        return f"unix://{self.redis_socket}?db=0"

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.postgres_sockets}"

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        """Open an autocommit connection to this database."""
        return psycopg.connect(self.database_url(name), autocommit=True)

    def fresh_database(self, name: str) -> str:
        """Drop and create this database; returns its URL."""
        self.drop_database(name)
        with self.connect() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected, and write out what is still to be written."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        with self.connect() as admin:
            admin.execute(drop.format(sql.Identifier(name)))
            admin.execute("CHECKPOINT")

    def broker(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.redis_socket))

    def flush_valkey(self) -> None:
        with self.broker() as broker:
            broker.flushall()


@contextmanager
def running(*, durable: bool = True) -> Iterator[Servers]:
    """Servers in a temporary folder, for the length of a `with` block."""
    guard = Guard()
    try:
        with _started(guard, durable=durable) as servers:
            yield servers
    finally:
        guard.close()


@contextmanager
def _started(guard: Guard, *, durable: bool) -> Iterator[Servers]:
    folder = embedded.temporary(guard)
    place = embedded.Place(
        site_packages=Path(sysconfig.get_path("purelib")),
        postgres=folder / "postgres",
        valkey=folder / "valkey",
        logs=folder,
        durable=durable,
        tied=False,
    )
    pair = embedded.servers({}, place, guard)
    pair.start()
    try:
        yield _described(pair, guard, folder)
    finally:
        pair.stop()


def _described(pair: embedded.Servers, guard: Guard, folder: Path) -> Servers:
    postgres, valkey = pair.postgres, pair.valkey
    assert postgres is not None
    assert isinstance(postgres.server, Postgres)
    assert valkey is not None
    assert isinstance(valkey.server, Valkey)
    return Servers(
        guard=guard,
        folder=folder,
        logs=folder,
        postgres=postgres,
        valkey=valkey,
        postgres_sockets=postgres.server.sockets,
        redis_socket=valkey.server.socket,
    )
