"""
Examine the whole: servers, settings, workers, queues, and what does not move.

Each finding stands by itself, so that with the database or the broker away the
others are still told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from executions import backlog, fleet, standing
from executions.database import UNREACHABLE, fetch
from executions.models import Execution
from executions.partitions import catalog, periods
from executions.signatures import QUEUES
from executions.waiting import (
    Fleet,
    Kind,
    Served,
    WaitingOn,
    crowd,
    reconciler_wanted,
    start_worker,
)

MOST_STUCK = 20
# What else is waited for ends by itself, or because somebody wanted it so.
TROUBLE = frozenset(
    {
        Kind.NEEDS_ATTENTION,
        Kind.QUEUE_WITHOUT_WORKER,
        Kind.LOST_WORKER,
        Kind.RECONCILER,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, what to do about it, and the same for machines."""

    name: str
    what: str
    ok: bool = True
    cure: str = ""
    facts: Mapping[str, Any] | None = None


def diagnose() -> Iterator[Finding]:
    """Examine everything; whoever is away is told of, and asked only once."""
    away: set[str] = set()
    for name, examine, servers in _EXAMINATIONS:
        missing = " and ".join(server for server in servers if server in away)
        if missing:
            yield Finding(name=name, what=f"unknown without the {missing}", ok=False)
            continue
        try:
            yield from examine()
        except (*UNREACHABLE, redis.RedisError) as error:
            away.add("broker" if isinstance(error, redis.RedisError) else "database")
            yield _unreachable(name, error)
        except DatabaseError as error:
            yield Finding(name=name, what=_line(error), ok=False, cure=_MIGRATE)


_MIGRATE = "Type: python manage.py migrate"
_MAKE_PARTITIONS = "Type: python manage.py partition; and see that a reconciler runs, which makes them."


def _unreachable(name: str, error: Exception) -> Finding:
    cure = "Start it, or mend DATABASE_URL."
    if isinstance(error, redis.RedisError):
        cure = "Start it, or mend REDIS_URL."
    return Finding(
        name=name, what=f"cannot be reached: {_line(error)}", ok=False, cure=cure
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- servers and settings -------------------------------------------------------------


def _database() -> Iterator[Finding]:
    ((version,),) = fetch("SELECT current_setting('server_version')", {})
    migrations = MigrationExecutor(connection)
    wanted = migrations.loader.graph.leaf_nodes()
    missing = [str(each) for each, _ in migrations.migration_plan(wanted)]
    state = f"not migrated: {_first(missing)}" if missing else "migrated"
    yield Finding(
        name="database",
        what=f"PostgreSQL {version}; {state}",
        ok=not missing,
        cure=_MIGRATE if missing else "",
        facts={"version": version, "unapplied": missing},
    )
    yield from _partitions()


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _partitions() -> Iterator[Finding]:
    """Nothing is said of tables that are not partitioned."""
    layout = catalog.read()
    if not layout.is_partitioned:
        return
    now, days = datetime.now(UTC), settings.CORE_PARTITION_DAYS
    until = max(periods.moment_of(period.high) for period in layout.periods)
    is_ready = until > now + timedelta(days=days)
    yield Finding(
        name="partitions",
        what=f"{len(layout.periods)} of step runs and events, until {until:%Y-%m-%d}",
        ok=is_ready,
        cure="" if is_ready else _MAKE_PARTITIONS,
        facts={"until": until, "names": [period.name for period in layout.periods]},
    )


def _broker() -> Iterator[Finding]:
    with backlog.broker() as client:
        told: Mapping[str, Any] = client.info()
    product = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get("valkey_version") or told.get("redis_version")
    policy = told.get("maxmemory_policy")
    appends = bool(told.get("aof_enabled"))
    kept = "on" if appends else "off: what a restart loses is sent again"
    is_safe = policy == "noeviction"
    yield Finding(
        name="broker",
        what=f"{product} {version}; maxmemory-policy {policy}; append-only file {kept}",
        ok=is_safe,
        cure="" if is_safe else "Set maxmemory-policy noeviction: messages get lost.",
        facts={"version": version, "maxmemory_policy": policy, "appendonly": appends},
    )


def _settings() -> Iterator[Finding]:
    complaints = [
        Finding(name="settings", what=f"{each.id}: {each.msg}", ok=False, cure=cure)
        for each in checks.run_checks()
        for cure in [each.hint or ""]
        if each.level >= checks.WARNING and not each.is_silenced()
    ]
    if 2 * settings.CORE_HEARTBEAT > settings.CORE_LEASE:
        what = "one late heartbeat costs a worker its steps"
        cure = "Make CORE_LEASE_S at least twice CORE_HEARTBEAT_S."
        complaints.append(Finding(name="settings", what=what, ok=False, cure=cure))
    yield from complaints or [Finding(name="settings", what="nothing to complain of")]


# --- who works, and what lies there ---------------------------------------------------


def _workers() -> Iterator[Finding]:
    now = fleet.read()
    for queue in QUEUES:
        yield _service(queue, now)
    yield Finding(
        name="reconciler",
        what="at work" if now.reconciler else "none is at work",
        ok=now.reconciler,
        cure="" if now.reconciler else reconciler_wanted("which keeps things moving"),
    )


def _service(queue: str, now: Fleet) -> Finding:
    served = now.queues.get(queue, Served(workers=0, slots=0, busy=0))
    return Finding(
        name="workers",
        what=f"{queue}: {crowd(served)}",
        ok=bool(served.workers),
        cure="" if served.workers else start_worker(queue),
        facts={"queue": queue, **asdict(served)},
    )


def _backlog() -> Iterator[Finding]:
    with backlog.broker() as client:
        queues = backlog.read(client)
    workers, now = fleet.read().queues, time()
    for each in queues:
        still = each.stands_still(now=now, limit_s=settings.CORE_BACKLOG_S)
        yield Finding(
            name="backlog",
            what=backlog.in_words(each, workers.get(each.queue), now=now),
            ok=not still,
            cure=start_worker(each.queue) if still else "",
            facts={**asdict(each), "age_s": each.age_s(now)},
        )


def _executions() -> Iterator[Finding]:
    stuck = standing.stuck(MOST_STUCK)
    if not stuck:
        yield Finding(name="executions", what="all that are under way move")
    for execution, answer in stuck:
        yield _stuck(execution, answer)


def _stuck(execution: Execution, answer: WaitingOn) -> Finding:
    name = execution.orchestration.name
    return Finding(
        name="execution",
        what=f"{execution.pk} ({name}) {execution.status}: {answer.detail}",
        ok=answer.kind not in TROUBLE,
        cure=answer.help or "",
        facts={
            "execution_id": execution.pk,
            "orchestration_name": name,
            "status": execution.status,
            "created_at": execution.created_at,
            "waiting_on": asdict(answer),
        },
    )


class _Examination(NamedTuple):
    name: str
    examine: Callable[[], Iterator[Finding]]
    servers: tuple[str, ...]


_EXAMINATIONS = (
    _Examination("database", _database, ()),
    _Examination("broker", _broker, ()),
    _Examination("settings", _settings, ()),
    _Examination("workers", _workers, ("database",)),
    _Examination("backlog", _backlog, ("database", "broker")),
    _Examination("executions", _executions, ("database",)),
)
