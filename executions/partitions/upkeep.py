"""Make the partitions of the time to come, and drop those whose time is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import LiteralString

from django.conf import settings
from django.db import connection
from psycopg import sql

from executions.database import borrowed_connection, fetch, one_transaction
from executions.partitions import catalog, conversion, preparation
from executions.partitions.catalog import KEYS, partition
from executions.partitions.locking import Busy, alone, run, storage
from executions.partitions.periods import REST, Period, coming, first_id

log = logging.getLogger(__name__)

# Nobody can use the tables while executions that are not over are moved out of the way:
# so many at most, with so many events, and step runs of so many bytes.
MOST_MOVED = 100
MOST_EVENTS = 10_000
MOST_BYTES = 64 * 2**20
# What has just begun to be old gets this long to leave by itself.
PATIENCE = timedelta(days=1)


def prepare(now: datetime) -> list[Period]:
    """Make the partitions that are missing, and return their periods."""
    layout = catalog.read()
    made: list[Period] = []
    try:
        with borrowed_connection():
            if layout.has_leftovers and not conversion.is_under_way():
                log.warning("A conversion to partitions was cut short: it is undone.")
                preparation.abandon()
            if layout.is_partitioned:
                days = settings.CORE_PARTITION_DAYS
                missing = coming(layout.periods, now, days=days)
                made.extend(period for period in missing if _make(period))
    except Busy as busy:
        log.warning("Partitions are made later: %s", busy)
    if made:
        _analyze()
    return made


_IN_REST: LiteralString = """
SELECT EXISTS (
  SELECT 1 FROM executions_steprun_rest WHERE id >= %(low)s AND id < %(high)s
) OR EXISTS (
  SELECT 1 FROM executions_event_rest
  WHERE execution_id >= %(low)s AND execution_id < %(high)s)
"""


def _make(period: Period) -> bool:
    """Make a period's partitions; not if rows of it lie in the rest already."""
    with alone(*(partition(table, REST) for table in KEYS)) as cursor:
        if fetch(_IN_REST, {"low": period.low, "high": period.high})[0][0]:
            return False
        for table in KEYS:
            run(
                cursor,
                "CREATE TABLE {new} PARTITION OF {table}"
                " FOR VALUES FROM ({low}) TO ({high}) {storage}",
                new=partition(table, period.name),
                table=sql.Identifier(table),
                low=sql.Literal(str(period.low)),
                high=sql.Literal(str(period.high)),
                storage=storage(cursor, partition(table, REST)),
            )
    return True


def _analyze() -> None:
    """Count what each whole table has: autovacuum looks at its partitions alone."""
    with one_transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '10min'")
        cursor.execute("ANALYZE executions_steprun, executions_event")


# --- what is over ---------------------------------------------------------------------


def drop_old(cutoff: datetime) -> Iterator[Period]:
    """
    Drop the partitions of periods before a moment, one each time it is asked for.

    Only those that no execution is left of; a few that are not over, or came back, are
    moved to the rest. What is younger than PATIENCE is given time.
    """
    for period in catalog.read().periods:
        if period.high <= first_id(cutoff) and _may_go(period, cutoff):
            try:
                with borrowed_connection():
                    _drop(period)
            except Busy as busy:
                log.warning("Old partitions are dropped later: %s", busy)
                return
            yield period


_LEFT: LiteralString = """
WITH remaining AS MATERIALIZED (
  SELECT x.id FROM executions_execution x
  WHERE x.id >= %(low)s AND x.id < %(high)s LIMIT %(most)s)
SELECT (SELECT count(*) FROM remaining), (
  SELECT count(*) FROM executions_event v
  WHERE v.execution_id >= %(low)s AND v.execution_id < %(high)s
    AND v.execution_id IN (SELECT id FROM remaining)
), (
  SELECT coalesce(sum(coalesce(pg_column_size(s.input), 0)
    + coalesce(pg_column_size(s.output), 0)
    + coalesce(pg_column_size(s.exports), 0)), 0)
  FROM executions_steprun s
  WHERE s.id >= %(low)s AND s.id < %(high)s
    AND s.execution_id IN (SELECT id FROM remaining))
"""


def _may_go(period: Period, cutoff: datetime) -> bool:
    params = {"low": period.low, "high": period.high, "most": MOST_MOVED + 1}
    ((executions, events, bytes_of_runs),) = fetch(_LEFT, params)
    if not executions:
        return True
    if executions > MOST_MOVED or events > MOST_EVENTS or bytes_of_runs > MOST_BYTES:
        return False
    return period.high <= first_id(cutoff - PATIENCE)


_MOVE: LiteralString = """
INSERT INTO {table} SELECT old.* FROM {old} old
WHERE old.execution_id IN (
  SELECT x.id FROM executions_execution x WHERE x.id >= {low} AND x.id < {high})
"""


def _drop(period: Period) -> None:
    """Drop a period's partitions; what is left of executions goes to the rest."""
    names = (REST, period.name)
    with alone(*(partition(table, name) for name in names for table in KEYS)) as cursor:
        for table in KEYS:
            parts = {
                "table": sql.Identifier(table),
                "old": partition(table, period.name),
                "low": sql.Literal(str(period.low)),
                "high": sql.Literal(str(period.high)),
            }
            run(cursor, "ALTER TABLE {table} DETACH PARTITION {old}", **parts)
            run(cursor, _MOVE, **parts)
            run(cursor, "DROP TABLE {old}", **parts)
