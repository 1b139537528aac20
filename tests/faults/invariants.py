"""
What must hold after any fault, checked by an outsider.

Reads PostgreSQL through a plain connection and what the effect sink saw, and knows
nothing of the engine's code. The order of events is that of (transaction id, id):
a transaction gets its id before it commits and whoever depends on it begins later,
so a cause always stands before its effect, whatever a clock did meanwhile; within a
transaction ids follow the order in which the rows were written.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, LiteralString

import psycopg
from psycopg.rows import namedtuple_row

from tests.acceptance.sink import Effect
from tests.faults.replay import Event, Replay

TERMINAL = {"completed", "failed", "cancelled", "timed_out"}
TERMINAL_STEP = TERMINAL | {"skipped"}
OPEN_STEP = {"pending", "running", "retrying", "waiting", "needs_attention"}

_EXECUTIONS: LiteralString = """
SELECT e.id::text, e.status, e.resends, e.wake_at, v.id::text AS version,
  e.created_at, clock_timestamp() AS now
FROM executions_execution e
JOIN core_orchestration_orchestrationversion v ON v.id = e.version_id
WHERE e.created_at >= %(since)s ORDER BY e.id
"""
_VERSIONS: LiteralString = """
SELECT v.id::text, v.definition FROM core_orchestration_orchestrationversion v
WHERE EXISTS (SELECT 1 FROM executions_execution e
  WHERE e.version_id = v.id AND e.created_at >= %(since)s)
"""
_RUNS: LiteralString = """
SELECT s.execution_id::text AS execution, s.id::text, s.path, s.key, s.status,
  s.attempt, s.crashes, s.spent, s.retry_at, s.attempt_deadline, s.finished_at,
  coalesce(w.lease_until < clock_timestamp() - interval '30 seconds',
    s.status = 'running' AND w.id IS NULL
      AND s.started_at < clock_timestamp() - interval '30 seconds') AS orphan
FROM executions_steprun s
JOIN executions_execution e ON e.id = s.execution_id
LEFT JOIN executions_worker w ON w.id = s.worker
WHERE e.created_at >= %(since)s ORDER BY s.execution_id, s.ordinal
"""
_EVENTS: LiteralString = """
SELECT v.execution_id::text AS execution, v.type, v.path, v.data
FROM executions_event v JOIN executions_execution e ON e.id = v.execution_id
WHERE e.created_at >= %(since)s
ORDER BY v.execution_id, v.transaction_id, v.id
"""
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One execution with all that was recorded of it."""

    execution: Any
    steps: list[Mapping[str, Any]]
    runs: list[Any]
    events: list[Event]

    @property
    def is_over(self) -> bool:
        return self.execution.status in TERMINAL


def read(url: str, since: datetime = EVER) -> list[Story]:
    """Read the executions that were created since a time."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return read_from(connection, since)


def read_from(connection: psycopg.Connection[Any], since: datetime) -> list[Story]:
    """Read them in a transaction that is open."""
    sources = {
        "executions": _EXECUTIONS,
        "versions": _VERSIONS,
        "runs": _RUNS,
        "events": _EVENTS,
    }
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        rows: dict[str, list[Any]] = {
            name: cursor.execute(sql, {"since": since}).fetchall()
            for name, sql in sources.items()
        }
    steps = {row.id: _steps(row.definition) for row in rows["versions"]}
    runs, events = _by_execution(rows["runs"]), _by_execution(rows["events"])
    return [
        Story(
            execution=row,
            steps=steps[row.version],
            runs=runs[row.id],
            events=list(_told(events[row.id], runs[row.id])),
        )
        for row in rows["executions"]
    ]


def _told(events: Iterable[Any], runs: Iterable[Any]) -> Iterator[Event]:
    """A step that a fork copied is settled in the way that it was copied."""
    statuses = {run.path: run.status for run in runs}
    for each in events:
        copied = each.type == "step.copied"
        kind = f"step.{statuses.get(each.path)}" if copied else each.type
        yield Event(kind, each.path, each.data or {})


def _steps(definition: Any) -> list[Mapping[str, Any]]:
    read = json.loads(definition) if isinstance(definition, str) else definition
    return sorted(read["steps"], key=lambda step: step.get("order", 0))


def _by_execution(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.execution].append(row)
    return found


def violations(
    url: str,
    effects: Iterable[Effect] = (),
    *,
    since: datetime = EVER,
    max_crashes: int = 3,
    lost_nothing: bool = False,
) -> list[str]:
    """
    List what does not hold, in words.

    `lost_nothing` says that no message and no process was lost, so that nothing may
    have been sent again.
    """
    stories = read(url, since)
    found = violations_of(stories, max_crashes=max_crashes, lost_nothing=lost_nothing)
    return found + list(_effects(stories, effects))


def violations_of(
    stories: Iterable[Story], *, max_crashes: int = 3, lost_nothing: bool = False
) -> list[str]:
    """List what does not hold in the record alone."""
    return [
        f"execution {story.execution.id}: {problem}"
        for story in stories
        for problem in _problems(story, max_crashes, lost_nothing=lost_nothing)
    ]


def unfinished(url: str, since: datetime = EVER) -> list[str]:
    """List the executions that are neither over nor wait for something nameable."""
    return [problem for story in read(url, since) for problem in _open(story)]


def _problems(story: Story, max_crashes: int, *, lost_nothing: bool) -> Iterator[str]:
    yield from _open(story)
    yield from Replay(_blocks(story.steps)).problems(story.events)
    yield from _agreement(story)
    yield from _attempts(story, max_crashes)
    yield from _leases(story)
    if lost_nothing and story.execution.resends:
        yield f"was sent again {story.execution.resends} times, though nothing was lost"


def _blocks(steps: list[Mapping[str, Any]]) -> list[set[str]]:
    """Group neighbours of one parallel group; the key is the path."""
    numbered = list(enumerate(steps))
    by_block = groupby(numbered, key=lambda n: n[1].get("parallel_group") or n[0])
    return [{step["key"] for _, step in block} for _, block in by_block]


def _open(story: Story) -> Iterator[str]:
    execution = story.execution
    if story.is_over or execution.status in ("paused", "waiting"):
        return
    named = any(
        run.status in ("waiting", "needs_attention")
        or (run.status == "retrying" and run.retry_at and run.retry_at > execution.now)
        for run in story.runs
    )
    if not named:
        runs = ", ".join(f"{run.path} {run.status}" for run in story.runs) or "no step"
        yield f"is {execution.status} and waits for nothing nameable ({runs})"


def _agreement(story: Story) -> Iterator[str]:
    """The last event of the execution, and of each step, is what its row says."""
    last = {}
    for event in story.events:
        kind, _, word = event.type.partition(".")
        if word in TERMINAL_STEP:
            last[event.path if kind == "step" else None] = word
    if story.is_over and last.get(None) != story.execution.status:
        yield f"is {story.execution.status}, its last event says {last.get(None)}"
    for run in story.runs:
        if run.status in TERMINAL_STEP and last.get(run.path) != run.status:
            yield f"step {run.path} is {run.status}, its event says {last.get(run.path)}"
        if story.is_over and run.status in OPEN_STEP:
            yield f"is over, but step {run.path} is {run.status}"
    if story.execution.status == "completed":
        missing = {step["key"] for step in story.steps} - {r.key for r in story.runs}
        yield from (f"is completed without step {key}" for key in sorted(missing))


def _attempts(story: Story, max_crashes: int) -> Iterator[str]:
    allowed = {step["key"]: step.get("max_retries", 0) + 1 for step in story.steps}
    for run in story.runs:
        most = allowed.get(run.key, 1) + max_crashes
        if run.attempt - run.spent > most:
            yield f"step {run.path} was attempted {run.attempt} times, {most} allowed"
        if run.crashes > max_crashes + 1:
            yield f"step {run.path} crashed {run.crashes} times"


def _leases(story: Story) -> Iterator[str]:
    for run in story.runs:
        if run.attempt_deadline is not None and (
            story.is_over or run.status != "running"
        ):
            yield f"step {run.path} ({run.status}) still has an attempt's deadline"
        if run.status == "running" and run.orphan:
            yield f"step {run.path} runs on a worker whose lease ended long ago"


def _effects(stories: list[Story], effects: Iterable[Effect]) -> Iterator[str]:
    """An outsider sees one idempotency key per step, and it is the step run's id."""
    ids = {(s.execution.id, run.key): run.id for s in stories for run in s.runs}
    known = {story.execution.id for story in stories}
    seen: Counter[tuple[str, str, str | None]] = Counter(
        (each.body["execution"], each.body["step"], each.key)
        for each in effects
        if isinstance(each.body, dict) and each.body.get("execution") in known
    )
    for execution, step, key in seen:
        if ids.get((execution, step)) != key:
            yield (
                f"execution {execution}: step {step} reached the outside with key {key}, "
                f"its run is {ids.get((execution, step))}"
            )
