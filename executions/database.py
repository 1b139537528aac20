"""
One way to the database for the engine's statements.

Each is one round trip, prepared by the server, in autocommit, and holds nothing
afterwards.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import get_ident
from time import monotonic
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Jsonb

UNREACHABLE = (OperationalError, InterfaceError)


def fetch(sql: LiteralString, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """
    Run one statement and return its rows; it joins a transaction that is open.

    Raises OperationalError or InterfaceError when the database cannot be reached or
    gave up; a broken connection is dropped, so that the next call makes a new one.
    """
    with borrowed_connection() as own, own.wrap_database_errors:
        own.ensure_connection()
        raw: Any = own.connection
        with psycopg.Cursor(raw) as cursor, awaited(raw):
            cursor.execute(sql, params)
            return cursor.fetchall()


_in_flight: dict[int, tuple[float, psycopg.Connection[Any]]] = {}  # by thread


@contextmanager
def awaited(raw: psycopg.Connection[Any]) -> Iterator[None]:
    """Keep in mind since when this thread waits for an answer."""
    _in_flight[get_ident()] = (monotonic(), raw)
    try:
        yield
    finally:
        _in_flight.pop(get_ident(), None)


def cut_unanswered(*, older_than_s: float) -> None:
    """
    Break the connections on which an answer is overdue.

    A network that swallows everything gives no error, and libpq waits for ever. The
    waiting threads get an OperationalError and do what they do when PostgreSQL is
    away; without this a process that takes messages would sit on them.
    """
    for since, raw in tuple(_in_flight.values()):
        if monotonic() - since >= older_than_s:
            with suppress(OSError, psycopg.Error):
                duplicate = socket.socket(fileno=os.dup(raw.fileno()))
                duplicate.shutdown(socket.SHUT_RDWR)
                duplicate.close()


def connection_apart(*, lock_timeout_ms: int) -> BaseDatabaseWrapper:
    """Make a connection that belongs to no pool; the caller closes it."""
    apart = connection.copy()
    options = apart.settings_dict["OPTIONS"]
    options.pop("pool", None)
    limit = f"-c lock_timeout={lock_timeout_ms}"
    options["options"] = f"{options.get('options', '')} {limit}"
    return apart


@contextmanager
def borrowed_connection() -> Iterator[BaseDatabaseWrapper]:
    """Drop the connection if it breaks, and return it if it belongs to a pool."""
    own = connections[DEFAULT_DB_ALIAS]
    try:
        yield own
    except UNREACHABLE:
        if not own.in_atomic_block:
            own.close()
        raise
    finally:
        # A process without a pool keeps its own connection.
        if settings.DB_POOL_SIZE and not own.in_atomic_block:
            own.close()


@contextmanager
def one_transaction() -> Iterator[None]:
    """Make several statements one transaction; a pooled connection goes back after."""
    with borrowed_connection(), transaction.atomic():
        yield


def json_or_null(value: Any) -> Jsonb | None:
    """Wrap a value for a JSON column; None is SQL's NULL."""
    return None if value is None else Jsonb(value)


def decoded(text: Any) -> Any:
    """Read a JSON column: Django's connections hand JSON over as text."""
    return json.loads(text) if isinstance(text, str) else text
