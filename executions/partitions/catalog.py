"""What partitions there are: PostgreSQL's catalog is the record of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from executions.database import fetch
from executions.partitions.periods import Period, until

STEP_RUNS = "executions_steprun"
EVENTS = "executions_event"
# Each table and the column that its rows are divided by.
KEYS = {STEP_RUNS: "id", EVENTS: "execution_id"}
# What a conversion that was killed leaves behind: see `preparation`.
BOUND = "partition_bound"
KEY_INDEX = "executions_event_partition_key"

_ID = re.compile(r"'([0-9a-f-]{36})'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How step runs and events are stored; the periods in the order of time."""

    is_partitioned: bool
    has_leftovers: bool
    periods: tuple[Period, ...]

    def leaving_singly(self, executions: Iterable[UUID]) -> list[UUID]:
        """Pick the executions whose rows are not dropped with a partition."""
        dated = [period for period in self.periods if period.is_dated]
        return [each for each in executions if not any(each in one for one in dated)]


_STATE: LiteralString = """
SELECT EXISTS (
  SELECT 1 FROM pg_class c
  WHERE c.oid = to_regclass('executions_steprun') AND c.relkind = 'p'
), EXISTS (
  SELECT 1 FROM pg_constraint k
  WHERE k.conname = %(bound)s AND k.conrelid IN (
    to_regclass('executions_steprun'), to_regclass('executions_event'))
) OR to_regclass(%(index)s) IS NOT NULL
"""
_PARTITIONS: LiteralString = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('executions_steprun') AND c.relispartition
ORDER BY c.relname
"""


def read() -> Layout:
    """Read how the tables are stored now."""
    ((is_partitioned, has_leftovers),) = fetch(
        _STATE, {"bound": BOUND, "index": KEY_INDEX}
    )
    rows = fetch(_PARTITIONS, {}) if is_partitioned else ()
    periods = [_period(name, bounds) for name, bounds in rows if bounds != "DEFAULT"]
    return Layout(
        is_partitioned=is_partitioned,
        has_leftovers=has_leftovers,
        periods=tuple(sorted(periods, key=lambda period: period.low)),
    )


def _period(table: str, bounds: str) -> Period:
    *low, high = (UUID(found) for found in _ID.findall(bounds))
    if not low:
        return until(high)
    return Period(name=table.removeprefix(f"{STEP_RUNS}_"), low=low[0], high=high)


def partition(table: str, name: str) -> sql.Identifier:
    """Name a table's partition of a period."""
    return sql.Identifier(f"{table}_{name}")
