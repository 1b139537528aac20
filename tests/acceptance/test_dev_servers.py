"""The embedded servers: what survives a stop, a kill, a crash half-way."""

from __future__ import annotations

import os
import shutil
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config.dev import embedded, shelter
from config.dev.account import unprivileged
from config.dev.guard import Guard
from config.dev.layout import Data
from config.dev.postgres import Postgres
from config.dev.servers import Running
from config.dev.terminal import DevError
from config.dev.wheels import locate

pytestmark = pytest.mark.acceptance

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short path that any user may enter."""
    guard = Guard()
    folder = embedded.temporary(guard)
    yield folder
    guard.close()
    assert not folder.exists()


@pytest.fixture
def servers(folder: Path) -> Iterator[embedded.Servers]:
    place = embedded.Place(
        site_packages=Path(sysconfig.get_path("purelib")),
        postgres=folder / "postgres",
        valkey=folder / "valkey",
        logs=folder,
        durable=False,
        tied=False,
    )
    guard = Guard()
    servers = embedded.servers({}, place, guard)
    yield servers
    servers.stop()
    guard.close()


@pytest.fixture
def postgres(servers: embedded.Servers) -> Running:
    assert servers.postgres is not None
    servers.postgres.start()
    return servers.postgres


@pytest.fixture
def valkey(servers: embedded.Servers) -> Running:
    assert servers.valkey is not None
    servers.valkey.start()
    return servers.valkey


def execute(running: Running, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(running.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def cluster_of(running: Running) -> Path:
    assert isinstance(running.server, Postgres)
    return running.server.cluster


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_postgres_keeps_what_was_committed(postgres: Running, ending: str) -> None:
    execute(postgres, "create table kept as select 7 as n")
    getattr(postgres, ending)()
    assert not postgres.alive
    postgres.start()
    assert execute(postgres, "select n from kept") == [(7,)]


def test_postgres_starts_again_while_children_of_a_killed_one_still_work(
    postgres: Running,
) -> None:
    busy = psycopg.connect(postgres.url)
    busy.pgconn.send_query(b"select count(*) from generate_series(1, 3000000)")
    postgres.kill()
    postgres.start()
    assert execute(postgres, "select 1") == [(1,)]
    busy.close()


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(postgres: Running) -> None:
    pid_file = cluster_of(postgres) / "postmaster.pid"
    note = pid_file.read_text()
    postgres.stop()
    pid_file.write_text(note.replace(str(postgres.pid), str(os.getpid()), 1))
    postgres.start()
    assert execute(postgres, "select 1") == [(1,)]


def test_a_second_postgres_on_the_same_files_is_refused(postgres: Running) -> None:
    with pytest.raises(DevError, match=rf"kill -INT {postgres.pid}"):
        postgres.server.prepare()


def test_a_half_made_cluster_is_made_again(servers: embedded.Servers) -> None:
    postgres = servers.postgres
    assert postgres is not None
    draft = cluster_of(postgres).with_name("draft")
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert execute(postgres, "select current_database()") == [("core",)]


def test_a_server_that_does_not_start_is_quoted(postgres: Running) -> None:
    postgres.stop()
    (cluster_of(postgres) / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(DevError, match="database files are incompatible"):
        postgres.start()


def test_an_empty_start_forgets_everything(postgres: Running, valkey: Running) -> None:
    execute(postgres, "create table forgotten ()")
    redis.Redis.from_url(valkey.url).set("forgotten", "1")
    for running in (postgres, valkey):
        running.kill()
        running.start(empty=True)
    assert execute(postgres, "select to_regclass('forgotten')") == [(None,)]
    assert redis.Redis.from_url(valkey.url).get("forgotten") is None


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_valkey_keeps_its_messages(valkey: Running, ending: str) -> None:
    client = redis.Redis.from_url(valkey.url)
    client.rpush("queue", "message")
    getattr(valkey, ending)()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    valkey.start()
    assert client.lrange("queue", 0, -1) == [b"message"]
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_second_valkey_on_the_same_socket_is_refused(valkey: Running) -> None:
    with pytest.raises(DevError, match="already answers"):
        valkey.server.prepare()


def test_no_server_listens_on_a_port(postgres: Running) -> None:
    assert execute(postgres, "show listen_addresses") == [("",)]
    assert execute(postgres, "show unix_socket_permissions") == [("0700",)]


def test_servers_that_are_given_are_used(folder: Path) -> None:
    guard = Guard()
    place = embedded.Place(
        site_packages=folder,
        postgres=folder,
        valkey=folder,
        logs=folder,
        durable=True,
        tied=False,
    )
    given = {"DATABASE_URL": "postgresql://db/core", "REDIS_URL": "redis://cache"}
    servers = embedded.servers(given, place, guard)
    assert servers.running == ()
    assert (servers.database_url, servers.redis_url) == tuple(given.values())
    guard.close()


def test_a_stopped_server_tells_that_it_is_not_running(
    servers: embedded.Servers,
) -> None:
    assert servers.postgres is not None
    with pytest.raises(DevError, match="call start"):
        _ = servers.postgres.pid
    servers.postgres.kill()
    servers.postgres.stop()


@as_root
def test_binaries_that_only_root_can_reach_are_copied(folder: Path) -> None:
    account = unprivileged()
    assert account is not None
    binaries = locate(Path(sysconfig.get_path("purelib")))
    package = binaries.postgres_home.parent
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        (closed / name).symlink_to(package.with_name(name))
    hidden = closed / package.name / binaries.postgres_home.name
    unreachable = type(binaries)(
        postgres_home=hidden, valkey_server=binaries.valkey_server
    )
    copied = shelter.reachable(unreachable, account)
    try:
        assert copied.postgres_home != hidden
        assert shelter.reachable(copied, account) == copied
    finally:
        shutil.rmtree(copied.postgres_home.parents[1])


@as_root
def test_a_database_below_a_closed_folder_is_kept_elsewhere(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data = Data(closed / "data")
    data.create()
    account = unprivileged()
    first = shelter.postgres_folder(data, account)
    try:
        assert not first.is_relative_to(folder)
        assert shelter.postgres_folder(data, account) == first
        assert (first / "belongs-to").read_text().strip() == str(data.path)
    finally:
        (first / "belongs-to").unlink()
        first.rmdir()


def test_the_signal_that_stops_postgres_disconnects_clients(postgres: Running) -> None:
    assert postgres.child.spec.stop_signal == signal.SIGINT
    connection = psycopg.connect(postgres.url)
    postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
