"""
How the partitions change: by one process at a time, and never long in the way.

Who waits for a lock holds up everybody that comes after, so waiting is given up soon:
before PostgreSQL looks for deadlocks, of which this side would else not be the victim.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.errors import LockNotAvailable

from executions.database import fetch

LOCK = 0x636F7266  # the reconciler's, and one: whoever removes rows or moves them

_ALONE: LiteralString = """
SELECT set_config('lock_timeout', '3s', true),
  set_config('statement_timeout', '10min', true), pg_try_advisory_xact_lock(%(lock)s)
"""
# Vacuuming gives way, but only to those who wait for longer than a second; this lock
# holds up nobody else.
_NO_VACUUM: LiteralString = "LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE"
_FOR_ONESELF = """
SET LOCAL lock_timeout = '800ms';
LOCK TABLE ONLY executions_steprun, ONLY executions_event IN ACCESS EXCLUSIVE MODE
"""


class Busy(Exception):
    """The tables are in use just now, or another process changes them: try again."""


@contextmanager
def alone(*changing: sql.Identifier) -> Iterator[CursorWrapper]:
    """
    Have step runs and events for oneself until the block ends; raises Busy.

    `changing` are those of their tables and partitions that are not to be vacuumed.
    """
    try:
        with transaction.atomic():
            if not fetch(_ALONE, {"lock": LOCK})[0][-1]:
                raise Busy(Busy.__doc__)
            with connection.cursor() as cursor:
                for table in changing:
                    run(cursor, _NO_VACUUM, table=table)
                cursor.execute(_FOR_ONESELF)
                yield cursor
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Busy(Busy.__doc__) from error
        raise


def run(cursor: CursorWrapper, statement: LiteralString, **parts: Any) -> None:
    """Execute a statement that is put together from names and literals."""
    cursor.execute(sql.SQL(statement).format(**parts))


_STORAGE = """
SELECT coalesce('WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
FROM pg_class c WHERE c.oid = %s::regclass
"""


def storage(cursor: CursorWrapper, table: sql.Identifier) -> sql.SQL:
    """Return the storage parameters of a table, for another that is to be like it."""
    cursor.execute(_STORAGE, [table.as_string()])
    ((clause,),) = cursor.fetchall()
    return sql.SQL(clause)
