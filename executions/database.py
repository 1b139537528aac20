"""
One way to the database for the engine's statements.

Each is one round trip, prepared by the server, in autocommit, and holds nothing
afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from psycopg.types.json import Jsonb

UNREACHABLE = (OperationalError, InterfaceError)


def fetch(sql: LiteralString, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """
    Run one statement and return its rows; it joins a transaction that is open.

    Raises OperationalError or InterfaceError when the database cannot be reached or
    gave up; a broken connection is dropped, so that the next call makes a new one.
    """
    try:
        with connection.wrap_database_errors:
            connection.ensure_connection()
            with psycopg.Cursor(connection.connection) as cursor:
                cursor.execute(sql, params)
                return cursor.fetchall()
    except UNREACHABLE:
        if not connection.in_atomic_block:
            connection.close()
        raise
    finally:
        give_back()


def give_back() -> None:
    """Return a pooled connection; a process without a pool keeps its own."""
    if settings.DB_POOL_SIZE and not connection.in_atomic_block:
        connection.close()


def json_or_null(value: Any) -> Jsonb | None:
    """Wrap a value for a JSON column; None is SQL's NULL."""
    return None if value is None else Jsonb(value)


def decoded(text: Any) -> Any:
    """Read a JSON column: Django's connections hand JSON over as text."""
    return json.loads(text) if isinstance(text, str) else text
