"""The two embedded servers of one folder, unless addresses of others are given."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.dev import shelter
from config.dev.account import unprivileged
from config.dev.guard import Guard
from config.dev.postgres import Postgres
from config.dev.servers import Running, never_stopped
from config.dev.sockets import socket_folder
from config.dev.valkey import Valkey
from config.dev.wheels import locate


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """`postgres` and `valkey` are None where somebody else's server is used."""

    postgres: Running | None
    valkey: Running | None
    database_url: str
    redis_url: str

    @property
    def running(self) -> tuple[Running, ...]:
        return tuple(server for server in (self.postgres, self.valkey) if server)

    def start(self, check: Callable[[], None] = never_stopped) -> None:
        for server in self.running:
            server.start(check=check)

    def stop(self) -> None:
        for server in reversed(self.running):
            server.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where embedded servers keep their files, and how carefully."""

    site_packages: Path
    postgres: Path
    valkey: Path
    logs: Path
    durable: bool
    tied: bool


def temporary(guard: Guard) -> Path:
    """Make a folder for servers of a test, which the guard deletes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="core-tests-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user
    guard.remove_later(folder)
    return folder


def servers(given: Mapping[str, str], place: Place, guard: Guard) -> Servers:
    """Describe the servers to use; nothing is started yet."""
    database_url, redis_url = given.get("DATABASE_URL"), given.get("REDIS_URL")
    postgres = None if database_url else _postgres(place, guard)
    valkey = None if redis_url else _valkey(place, guard)
    return Servers(
        postgres=postgres,
        valkey=valkey,
        database_url=postgres.url if postgres else database_url or "",
        redis_url=valkey.url if valkey else redis_url or "",
    )


def _postgres(place: Place, guard: Guard) -> Running:
    account = unprivileged()
    binaries = locate(place.site_packages)
    if account:
        binaries = shelter.reachable(binaries, account)
    server = Postgres(
        folder=place.postgres,
        sockets=place.postgres / "sockets",
        binaries=binaries,
        log=place.logs / "postgres.log",
        account=account,
        durable=place.durable,
    )
    shelter.own(server.folder, server.runs_as)
    sockets = socket_folder(server.sockets, guard, server.runs_as)
    return Running(dataclasses.replace(server, sockets=sockets), guard, tied=place.tied)


def _valkey(place: Place, guard: Guard) -> Running:
    shelter.own(place.valkey, None)
    server = Valkey(
        folder=place.valkey / "data",
        sockets=socket_folder(place.valkey / "sockets", guard),
        server=locate(place.site_packages).valkey_server,
        log=place.logs / "valkey.log",
        durable=place.durable,
    )
    return Running(server, guard, tied=place.tied)
