"""
Let finished executions leave after CORE_RETENTION_DAYS, archived if there is a folder.

What is old is found, written to the archive, and only then removed, if it still is
as it was found. Whoever dies in between has archived something that will be archived
again: lines carry the execution's id. Rows of Celery's result backend leave as well.
Where tables are partitioned, step runs and events stay until their partition leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from django.conf import settings

from executions import archive, lifecycle
from executions.database import UNREACHABLE, borrowed_connection, fetch, one_transaction
from executions.partitions import catalog, upkeep
from executions.partitions.locking import LOCK
from executions.partitions.periods import first_id as first_id
from executions.states import TERMINAL_EXECUTION, values

log = logging.getLogger(__name__)

BATCH = 100
# Live events wait for the end of every transaction that writes, so those that delete
# are short: a batch ends early at this many events (a single execution may have more).
EVENTS_AT_ONCE = 10_000
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How many rows there are, or were in one batch."""

    executions: int = 0
    results: int = 0
    signals: int = 0  # of everybody's; those of one execution leave with it
    periods: int = 0  # whose partitions were dropped


class Old(NamedTuple):
    """A finished execution as it was when it was found to be old."""

    id: UUID
    epoch: int
    finished_at: datetime


def sweep(days: float | None = None) -> Iterator[Swept]:
    """
    Remove what is older than `days` (the setting's unless given), batch by batch.

    Each batch is removed when the iterator is asked for it. Days that are not above
    zero keep everything. Where tables are partitioned, the partitions of the time to
    come are made first. Raises archive.NotArchived.
    """
    days = settings.CORE_RETENTION_DAYS if days is None else days
    upkeep.prepare(datetime.now(UTC))
    if days > 0:
        cutoff = _cutoff(days)
        for number in _sweep_results(cutoff):
            yield Swept(results=number)
        for number in _sweep_executions(cutoff):
            yield Swept(executions=number)
        for number in _sweep_signals(cutoff):
            yield Swept(signals=number)
        for _ in upkeep.drop_old(cutoff):
            yield Swept(periods=1)


def count(days: float) -> Swept:
    """Count what `sweep` would remove."""
    params = _bounds(_cutoff(days), after=_FIRST, batch=None)
    executions, results = fetch(_COUNT, params)[0]
    return Swept(executions=executions, results=results)


# No execution is a century old, and timestamps do not go back for ever.
_CUTOFF: LiteralString = """
SELECT clock_timestamp() - least(%(days)s, 36500) * interval '1 day'
"""


def _cutoff(days: float) -> datetime:
    cutoff: datetime = fetch(_CUTOFF, {"days": float(days)})[0][0]
    return cutoff


# --- executions -----------------------------------------------------------------------

# What ended before the cutoff began before it, and ids grow with the time of the
# beginning: so the primary key is read from its low end up to the cutoff, where little
# is left but what is to leave, and no further index has to be kept. A clock that was
# fast when the id was made only has the execution leave that much later.
_OLD: LiteralString = """
WITH old AS (
  SELECT x.id, x.epoch, x.finished_at FROM executions_execution x
  WHERE x.id > %(after)s AND x.id < %(before)s AND x.finished_at < %(cutoff)s
    AND x.status = ANY(%(terminal)s)
  ORDER BY x.id LIMIT %(batch)s)
SELECT {what}
"""
_OLDEST = _OLD.format(
    what="""old.id, old.epoch, old.finished_at, (
  SELECT count(*) FROM executions_event v WHERE v.execution_id = old.id)
FROM old ORDER BY old.id"""
)


def _bounds(cutoff: datetime, *, after: UUID, batch: int | None) -> dict[str, Any]:
    return {
        "after": after,
        "batch": batch,
        "before": first_id(cutoff),
        "cutoff": cutoff,
        "terminal": values(TERMINAL_EXECUTION),
    }


def _sweep_executions(cutoff: datetime) -> Iterator[int]:
    folder = Path(settings.CORE_ARCHIVE_DIR) if settings.CORE_ARCHIVE_DIR else None
    removed, after = _sweep_batch(cutoff, _FIRST, folder)
    while after is not None:
        yield removed
        removed, after = _sweep_batch(cutoff, after, folder)


def _sweep_batch(
    cutoff: datetime, after: UUID, folder: Path | None
) -> tuple[int, UUID | None]:
    """Remove the oldest executions after an id; return how many, and the last id."""
    with archive.locked(folder) if folder else nullcontext():
        batch = _oldest(cutoff, after)
        if not batch:
            return 0, None
        removed = _remove(_archived(batch, folder) if folder else batch)
    # Those that stay are passed by until the next sweep, and hold nobody up.
    return removed, batch[-1].id


def _oldest(cutoff: datetime, after: UUID) -> list[Old]:
    batch: list[Old] = []
    events = 0
    for *old, more in fetch(_OLDEST, _bounds(cutoff, after=after, batch=BATCH)):
        events += more
        if batch and events > EVENTS_AT_ONCE:
            break
        batch.append(Old(*old))
    return batch


def _archived(batch: Sequence[Old], folder: Path) -> Sequence[Old]:
    """Archive executions, and return those that now may leave."""
    lines = chain.from_iterable(archive.line(old.id) for old in batch)
    try:
        with borrowed_connection():
            archive.append(folder, lines, day=datetime.now(UTC).date())
    except (OSError, *UNREACHABLE):
        raise
    except Exception:
        if len(batch) == 1:
            log.exception("Execution %s cannot be archived; it stays.", batch[0].id)
            return []
        return [old for one in batch for old in _archived([one], folder)]
    return batch


# Two that delete wait for each other here, not in a circle for each other's children;
# and the one execution with very many rows may take longer than statements may.
_ALONE: LiteralString = """
SELECT set_config('statement_timeout', '10min', true), pg_advisory_xact_lock(%(lock)s)
"""
# A `retry` may have brought one back since; who holds a row is about to change it.
_STILL_OLD: LiteralString = """
SELECT x.id FROM executions_execution x
JOIN unnest(%(ids)s::uuid[], %(epochs)s::int[], %(ends)s::timestamptz[])
  AS old(id, epoch, finished_at)
  ON x.id = old.id AND x.epoch = old.epoch AND x.finished_at = old.finished_at
WHERE x.status = ANY(%(terminal)s)
FOR UPDATE OF x SKIP LOCKED
"""
_REMOVE: LiteralString = """
WITH orphaned AS (
  UPDATE executions_execution x SET parent_execution_id = NULL
  WHERE x.parent_execution_id = ANY(%(ids)s) AND NOT x.id = ANY(%(ids)s)),
events AS (DELETE FROM executions_event v WHERE v.execution_id = ANY(%(loose)s)),
runs AS (DELETE FROM executions_steprun s WHERE s.execution_id = ANY(%(loose)s)),
asked AS (DELETE FROM executions_approval a WHERE a.execution_id = ANY(%(ids)s)),
taken AS (DELETE FROM executions_delivery d WHERE d.execution_id = ANY(%(ids)s)
  OR d.signal_id IN (SELECT g.id FROM executions_signal g
    WHERE g.execution_id = ANY(%(ids)s))),
sent AS (DELETE FROM executions_signal g WHERE g.execution_id = ANY(%(ids)s)),
said AS (DELETE FROM executions_exchange c WHERE c.execution_id = ANY(%(ids)s)),
limits AS (DELETE FROM executions_budget b
  WHERE b.scope = 'execution' AND b.scope_id = ANY(%(ids)s) RETURNING b.id),
accounts AS (DELETE FROM executions_budgetaccount a WHERE a.id IN (
    SELECT a.id FROM executions_budgetaccount a JOIN limits l ON l.id = a.budget_id
    UNION ALL
    SELECT a.id FROM executions_budget b JOIN executions_budgetaccount a
      ON a.budget_id = b.id AND a.execution_id = ANY(%(ids)s)
    WHERE b.per_execution)
  RETURNING a.id),
reserved AS (DELETE FROM executions_reservation r
  WHERE r.account_id IN (SELECT a.id FROM accounts a))
DELETE FROM executions_execution x WHERE x.id = ANY(%(ids)s) RETURNING x.id
"""


def _remove(batch: Sequence[Old]) -> int:
    params = {
        "ids": [old.id for old in batch],
        "epochs": [old.epoch for old in batch],
        "ends": [old.finished_at for old in batch],
        "terminal": values(TERMINAL_EXECUTION),
    }
    with one_transaction():
        fetch(_ALONE, {"lock": LOCK})
        ids = [row[0] for row in fetch(_STILL_OLD, params)]
        loose = catalog.read().leaving_singly(ids)
        return len(fetch(_REMOVE, {"ids": ids, "loose": loose}))


# --- events from outside, and Celery's results ----------------------------------------

# A chord's counter has no date. It is old when one of its tasks ended that long ago,
# and then so are all with a lower id. They go before the results that tell.
_COUNTERS: LiteralString = """
WITH lowest AS (
  SELECT c.id, c.sub_tasks FROM django_celery_results_chordcounter c
  ORDER BY c.id LIMIT %(batch)s),
old AS (
  SELECT max(lowest.id) AS id FROM lowest
  WHERE EXISTS (
    SELECT 1 FROM jsonb_array_elements(lowest.sub_tasks::jsonb) AS task
    JOIN django_celery_results_taskresult r ON r.task_id = task #>> '{0,0}'
    WHERE r.date_done < %(cutoff)s))
DELETE FROM django_celery_results_chordcounter c USING old
WHERE c.id <= old.id RETURNING c.id
"""
_RESULTS: LiteralString = """
DELETE FROM django_celery_results_{table}
WHERE id = ANY(ARRAY(
  SELECT r.id FROM django_celery_results_{table} r
  WHERE r.date_done < %(cutoff)s
  ORDER BY r.date_done LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
RETURNING id
"""
_COUNT = _OLD.format(
    what="""(SELECT count(*) FROM old), (
  SELECT count(*) FROM (
    SELECT date_done FROM django_celery_results_taskresult UNION ALL
    SELECT date_done FROM django_celery_results_groupresult) r
  WHERE r.date_done < %(cutoff)s)"""
)


def _sweep_signals(cutoff: datetime) -> Iterator[int]:
    bound = first_id(cutoff)
    while gone := lifecycle.forget_signals(cutoff, before=bound, batch=10 * BATCH):
        yield gone


def _sweep_results(cutoff: datetime) -> Iterator[int]:
    params = {"cutoff": cutoff, "batch": 10 * BATCH}
    results = (_RESULTS.format(table=name) for name in ("taskresult", "groupresult"))
    for sql in (_COUNTERS, *results):
        while rows := fetch(sql, params):
            yield len(rows)
