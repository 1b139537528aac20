"""
Three months of an installation's life, written straight into PostgreSQL.

Rows are made by the server from a few real executions: ids grow with time, step runs'
ids lie with their execution's, owners and outcomes are drawn by a hash. Tables are
filled in the order of time, side by side, with their indexes and checks in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.servers import Servers

DAYS = 90
BATCH = 10_000
RARE = 20  # executions of the user who has few
SESSION = "SET synchronous_commit = off; SET session_replication_role = replica"

_PREPARE = """
DROP SCHEMA IF EXISTS seed CASCADE;
CREATE SCHEMA seed;
CREATE TABLE seed.execution AS
  SELECT (row_number() OVER (ORDER BY id) - 1)::int AS number, x.*
  FROM executions_execution x;
CREATE TABLE seed.steprun AS
  SELECT e.number, s.*, s.ordinal = max(s.ordinal) OVER (PARTITION BY e.id) AS last
  FROM executions_steprun s JOIN seed.execution e ON e.id = s.execution_id
  ORDER BY e.number, s.ordinal;
CREATE TABLE seed.event AS
  SELECT e.number, v.* FROM executions_event v
  JOIN seed.execution e ON e.id = v.execution_id ORDER BY v.id;
CREATE TABLE seed.owner AS SELECT username, id FROM auth_user;
ANALYZE seed.execution; ANALYZE seed.steprun; ANALYZE seed.event;
CREATE FUNCTION seed.chance(n int, most int) RETURNS int LANGUAGE sql IMMUTABLE
  RETURN (('x' || substr(md5(n::text), 1, 7))::bit(28)::int / 7) % most;
CREATE FUNCTION seed.named(at timestamptz, name text) RETURNS uuid LANGUAGE sql STABLE
  RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
    || '7' || substr(md5(name), 1, 3) || 'a' || substr(md5(name), 4, 15))::uuid;
CREATE FUNCTION seed.status(n int) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN seed.chance(n, 200) < 5 THEN 'failed'
    WHEN seed.chance(n, 200) < 7 THEN 'cancelled'
    WHEN seed.chance(n, 200) < 8 THEN 'timed_out' ELSE 'completed' END;
"""
# `made` are the executions of a batch, each with its number `n` and its sample's.
_MADE = """
WITH made AS MATERIALIZED (
  SELECT n, n %% {samples} AS number, at, seed.named(at, n::text) AS id,
    seed.status(n) AS ended,
    CASE WHEN n %% {rarely} = {rarely} / 2 THEN 'rare'
      ELSE (ARRAY['admin', 'admin', 'admin', 'ada', 'ben', 'cleo'])
        [1 + seed.chance(n + 13, 6)] END AS owner
  FROM generate_series(%(first)s::int, %(last)s::int) AS n,
    LATERAL (SELECT {since}::timestamptz + n * {pace}::interval AS at) AS moment)
"""
_ERROR = """
jsonb_build_object('step_key', 'part_9', 'type', 'function_failed',
  'message', 'The carrier did not answer.', 'attempt', 1)
"""
# What a copy has of its own; every other column is as in the sample `t`.
EXECUTION: Mapping[str, str] = {
    "id": "made.id",
    "status": "made.ended",
    "error": f"CASE WHEN made.ended = 'failed' THEN {_ERROR} END",
    "created_by_id": "(SELECT o.id FROM seed.owner o WHERE o.username = made.owner)",
    "created_at": "made.at",
    "dispatched_at": "made.at",
    "started_at": "made.at + interval '20 ms'",
    "finished_at": "made.at + interval '300 ms'",
}
STEP_RUN: Mapping[str, str] = {
    "id": "seed.named(made.at, made.n || t.path)",
    "execution_id": "made.id",
    "status": "CASE WHEN t.last THEN made.ended ELSE t.status END",
    "error": f"CASE WHEN t.last AND made.ended = 'failed' THEN {_ERROR} END",
    "started_at": "made.at + (t.ordinal + 1) * interval '20 ms'",
    "finished_at": "made.at + (t.ordinal + 2) * interval '20 ms'",
}
EVENT: Mapping[str, str] = {
    "execution_id": "made.id",
    "type": "replace(t.type, 'execution.completed', 'execution.' || made.ended)",
    "created_at": "made.at + interval '200 ms'",
}
DRAWN = {"executions_event": ("id", "transaction_id")}  # the server's own defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How many executions, and of how many of the newest the events are kept."""

    executions: int
    with_events: int


def seed(
    servers: Servers, database: str, history: History, say: Callable[[str], None]
) -> float:
    """Fill a database that holds the samples and nothing else; return the seconds."""
    began = time.perf_counter()
    with servers.connect(database) as admin:
        admin.execute(_PREPARE)
        made = _made(admin, history.executions)
    first = history.executions - history.with_events
    tables = (
        ("executions_execution", EXECUTION, 0),
        ("executions_steprun", STEP_RUN, 0),
        ("executions_event", EVENT, first),
    )
    with _much_log(servers), ThreadPoolExecutor(len(tables)) as threads:
        filling = [
            threads.submit(_fill, servers, database, made, table, history, say)
            for table in tables
        ]
        for each in filling:
            each.result()
    with servers.connect(database) as admin:
        admin.execute("DROP SCHEMA seed CASCADE")
        say("vacuum and analyze")
        admin.execute("VACUUM (ANALYZE)")
        admin.execute("CHECKPOINT")
    return time.perf_counter() - began


def _made(admin: psycopg.Connection, executions: int) -> sql.Composed:
    row = admin.execute("SELECT count(*) FROM seed.execution").fetchone()
    samples = int(row[0]) if row else 0
    pace_ms = DAYS * 86_400_000 // executions
    since = admin.execute(
        "SELECT (now() - (%s::bigint * %s + 60000) * interval '1 ms')::text",
        [pace_ms, executions],
    ).fetchone()
    return sql.SQL(_MADE).format(
        samples=sql.Literal(samples),
        rarely=sql.Literal(max(1, executions // RARE)),
        since=sql.Literal(since and since[0]),
        pace=sql.Literal(f"{pace_ms} ms"),
    )


def _fill(
    servers: Servers,
    database: str,
    made: sql.Composed,
    table: tuple[str, Mapping[str, str], int],
    history: History,
    say: Callable[[str], None],
) -> None:
    name, own, first = table
    began = time.perf_counter()
    with servers.connect(database) as connection:
        connection.execute(SESSION)
        statement = made + _copy(connection, name, own)
        for low, high in _ranges(first, history.executions):
            connection.execute(statement, {"first": low, "last": high})
            if (high + 1) % max(1, history.executions // 5) < BATCH:
                seconds = time.perf_counter() - began
                say(f"{name}: of {high + 1:,} executions after {seconds:.0f} s")


def _copy(
    connection: psycopg.Connection, table: str, own: Mapping[str, str]
) -> sql.Composed:
    """Write the INSERT that copies the samples' rows once for each made execution."""
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        [table],
    )
    names = [name for (name,) in rows if name not in DRAWN.get(table, ())]
    copied = [sql.SQL(own.get(name, f't."{name}"')) for name in names]
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {copied} FROM made"
        " JOIN {samples} t ON t.number = made.number ORDER BY made.n{more}"
    ).format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        copied=sql.SQL(", ").join(copied),
        samples=sql.Identifier("seed", table.removeprefix("executions_")),
        more=sql.SQL(", t.id" if table == "executions_event" else ""),
    )


def _ranges(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each batch."""
    for low in range(first, end, BATCH):
        yield low, min(low + BATCH, end) - 1


@contextmanager
def _much_log(servers: Servers) -> Iterator[None]:
    """Let the log grow between checkpoints while so much is written."""
    with servers.connect() as admin:
        admin.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            admin.execute("ALTER SYSTEM RESET max_wal_size")
            admin.execute("SELECT pg_reload_conf()")
