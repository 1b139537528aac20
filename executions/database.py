"""
One way to the database for the engine's statements.

Each is one round trip, prepared by the server, in autocommit, and holds nothing
afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg.types.json import Jsonb

UNREACHABLE = (OperationalError, InterfaceError)


def fetch(sql: LiteralString, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """
    Run one statement and return its rows; it joins a transaction that is open.

    Raises OperationalError or InterfaceError when the database cannot be reached or
    gave up; a broken connection is dropped, so that the next call makes a new one.
    """
    with borrowed_connection(), connection.wrap_database_errors:
        connection.ensure_connection()
        with psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall()


@contextmanager
def borrowed_connection() -> Iterator[None]:
    """Drop the connection if it breaks, and return it if it belongs to a pool."""
    try:
        yield
    except UNREACHABLE:
        if not connection.in_atomic_block:
            connection.close()
        raise
    finally:
        # A process without a pool keeps its own connection.
        if settings.DB_POOL_SIZE and not connection.in_atomic_block:
            connection.close()


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
