"""Who works, and on what: the workers' rows, read for people and for decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from executions.database import decoded, fetch
from executions.election import IS_HELD, LOCK
from executions.models import Execution, StepRun, Worker
from executions.states import StepStatus
from executions.waiting import Fleet, Owner, Served

MOST_SHOWN = 100

_READ: LiteralString = """
SELECT clock_timestamp(), {elected}, (
  SELECT json_object_agg(served.queue,
    json_build_array(served.workers, served.slots, served.busy))
  FROM (
    SELECT queue, count(*) AS workers, sum(w.slots) AS slots, sum(w.busy) AS busy
    FROM executions_worker w, jsonb_array_elements_text(w.queues) AS queue
    WHERE w.lease_until > clock_timestamp() GROUP BY queue) served)
"""
_READ_NOW = _READ.format(elected=IS_HELD)
_OWNERS: LiteralString = """
SELECT w.id, w.host, w.pid, w.lease_until FROM executions_worker w
WHERE w.id = ANY(%(ids)s)
"""


def read(owners: Collection[UUID] = ()) -> Fleet:
    """Read who is at work, and the workers with these ids; two statements at most."""
    ((now, reconciler, queues),) = fetch(_READ_NOW, {"lock": LOCK})
    rows = fetch(_OWNERS, {"ids": list(owners)}) if owners else []
    return Fleet(
        now=now,
        reconciler=reconciler,
        queues={
            queue: Served(workers=workers, slots=slots, busy=busy)
            for queue, (workers, slots, busy) in (decoded(queues) or {}).items()
        },
        owners={
            worker: Owner(host=host, pid=pid, lease_until=lease_until)
            for worker, host, pid, lease_until in rows
        },
    )


def workers() -> QuerySet[Worker]:
    """List the workers, and whether each is `alive` by the database's clock."""
    lives = ExpressionWrapper(Q(lease_until__gt=Now()), output_field=BooleanField())
    return Worker.objects.annotate(alive=lives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A step that a worker runs."""

    execution_id: UUID
    step_key: str
    path: str
    since: datetime | None


def running(
    worker_ids: Iterable[UUID], *, of: QuerySet[Execution]
) -> Mapping[UUID, list[Running]]:
    """
    List by worker what they run of these executions.

    The oldest come first, and no more than MOST_SHOWN of all workers together.
    """
    runs = StepRun.objects.filter(
        execution__in=of, status=StepStatus.RUNNING, worker__in=list(worker_ids)
    )
    fields = ("worker", "execution_id", "key", "path", "started_at")
    found: defaultdict[UUID, list[Running]] = defaultdict(list)
    rows = runs.order_by("started_at", "id").values_list(*fields)[:MOST_SHOWN]
    for worker, execution_id, key, path, since in rows:
        found[worker].append(
            Running(execution_id=execution_id, step_key=key, path=path, since=since)
        )
    return found
