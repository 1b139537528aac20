"""
What takes long before tables become partitions, and holds up nobody meanwhile.

Every id is checked to be below a bound in the near future, and the index of the events'
new primary key is built. What a conversion that was killed leaves of it, `abandon` takes
back: once the bound's time has come, nothing could be inserted any more.
"""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from executions.partitions.catalog import BOUND, KEY_INDEX, KEYS
from executions.partitions.locking import alone, run

INDEX = sql.Identifier(KEY_INDEX)
_TABLES = [sql.Identifier(table) for table in KEYS]


class BeyondBound(Exception):
    """
    Some ids lie in the future, so that nothing divides what is there from what comes.

    Ids must be UUIDs of version 7, and the clocks of those who make them be right.
    """


def index_events(cursor: CursorWrapper) -> None:
    """Build the index of the events' new primary key, outside of any transaction."""
    drop_index(cursor)
    run(
        cursor,
        "CREATE UNIQUE INDEX CONCURRENTLY {index}"
        " ON executions_event (execution_id, id)",
        index=INDEX,
    )


def drop_index(cursor: CursorWrapper) -> None:
    """Drop that index if it is there, finished or not."""
    run(cursor, "DROP INDEX CONCURRENTLY IF EXISTS {index}", index=INDEX)


def add_bounds(high: UUID) -> None:
    """Let no row come that is not below the bound."""
    with alone(*_TABLES) as cursor:
        for table, key in KEYS.items():
            _drop_bound(cursor, table)
            run(
                cursor,
                "ALTER TABLE {table} ADD CONSTRAINT {bound}"
                " CHECK ({key} < {high}) NOT VALID",
                table=sql.Identifier(table),
                bound=sql.Identifier(BOUND),
                key=sql.Identifier(key),
                high=sql.Literal(str(high)),
            )


def validate_bounds(cursor: CursorWrapper) -> None:
    """Make sure that all rows are below the bound; raises BeyondBound."""
    for table in KEYS:
        try:
            run(
                cursor,
                "ALTER TABLE {table} VALIDATE CONSTRAINT {bound}",
                table=sql.Identifier(table),
                bound=sql.Identifier(BOUND),
            )
        except IntegrityError as error:
            raise BeyondBound(BeyondBound.__doc__) from error


def abandon() -> None:
    """Take back what was prepared. Raises Busy."""
    with alone(*_TABLES) as cursor:
        for table in KEYS:
            _drop_bound(cursor, table)
        run(cursor, "DROP INDEX IF EXISTS {index}", index=INDEX)


def _drop_bound(cursor: CursorWrapper, table: str) -> None:
    run(
        cursor,
        "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {bound}",
        table=sql.Identifier(table),
        bound=sql.Identifier(BOUND),
    )
