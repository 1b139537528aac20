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
# What waits for something outside: the clock, an event, people, another execution.
WAITS_OUTSIDE = {"wait", "approval", "orchestration"}

_EXECUTIONS: LiteralString = """
SELECT e.id::text, e.status, e.resends, e.wake_at, v.id::text AS version,
  e.created_at, e.finished_at, e.parent_execution_id::text AS parent,
  e.awaited IS true AS awaited, clock_timestamp() AS now
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
  s.attempt, s.crashes, s.spent, s.retry_at, s.attempt_deadline, s.started_at,
  s.finished_at, s.worker, s.cursor, s.heard,
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
_QUESTIONS: LiteralString = """
SELECT a.execution_id::text AS execution, a.path, a.decision, a.decided_at
FROM executions_approval a JOIN executions_execution e ON e.id = a.execution_id
WHERE e.created_at >= %(since)s ORDER BY a.execution_id, a.id
"""
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One execution with all that was recorded of it."""

    execution: Any
    definition: Mapping[str, Any]
    every_run: list[Any]
    events: list[Event]
    questions: list[Any]

    @property
    def is_over(self) -> bool:
        return self.execution.status in TERMINAL

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """The steps at the top, in order."""
        return in_order(self.definition["steps"])

    @property
    def all_steps(self) -> list[Mapping[str, Any]]:
        """Those in bodies, and those of `on_failure`, as well."""
        return list(_everywhere([*self.steps, *self.definition.get("on_failure", [])]))

    @property
    def runs(self) -> list[Any]:
        """The runs of steps; the other rows are frames."""
        return [run for run in self.every_run if run.cursor is None]

    @property
    def frames(self) -> dict[str, Any]:
        return {run.path: run for run in self.every_run if run.cursor is not None}


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
        "questions": _QUESTIONS,
    }
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        rows: dict[str, list[Any]] = {
            name: cursor.execute(sql, {"since": since}).fetchall()
            for name, sql in sources.items()
        }
    definitions = {row.id: _definition(row.definition) for row in rows["versions"]}
    runs, events = _by_execution(rows["runs"]), _by_execution(rows["events"])
    questions = _by_execution(rows["questions"])
    return [
        Story(
            execution=row,
            definition=definitions[row.version],
            every_run=runs[row.id],
            events=list(_told(events[row.id], runs[row.id])),
            questions=questions[row.id],
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


def _definition(definition: Any) -> Mapping[str, Any]:
    read: Mapping[str, Any] = (
        json.loads(definition) if isinstance(definition, str) else definition
    )
    return read


def in_order(steps: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(steps, key=lambda step: step.get("order", 0))


def _everywhere(steps: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for step in steps:
        yield step
        yield from _everywhere(step.get("steps") or ())


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
    stories = list(stories)
    over = {story.execution.id for story in stories if story.is_over}
    return [
        f"execution {story.execution.id}: {problem}"
        for story in stories
        for problem in (
            *_problems(story, max_crashes, lost_nothing=lost_nothing),
            *_family(story, over),
        )
    ]


def unfinished(url: str, since: datetime = EVER) -> list[str]:
    """List the executions that are neither over nor wait for something nameable."""
    stories = read(url, since)
    over = {story.execution.id for story in stories if story.is_over}
    return [
        problem
        for story in stories
        for problem in (*_open(story), *_family(story, over))
    ]


def _problems(story: Story, max_crashes: int, *, lost_nothing: bool) -> Iterator[str]:
    yield from _open(story)
    replay = Replay(_blocks(story.steps), _bodies(story))
    yield from replay.problems(story.events)
    yield from _agreement(story)
    yield from _framing(story)
    yield from _asking(story)
    yield from _attempts(story, max_crashes)
    yield from _leases(story)
    if lost_nothing and story.execution.resends:
        yield f"was sent again {story.execution.resends} times, though nothing was lost"


def _blocks(steps: list[Mapping[str, Any]]) -> list[set[str]]:
    """Group neighbours of one parallel group; the key is the path."""
    numbered = list(enumerate(steps))
    by_block = groupby(numbered, key=lambda n: n[1].get("parallel_group") or n[0])
    return [{step["key"] for _, step in block} for _, block in by_block]


def _bodies(story: Story) -> dict[str, list[tuple[str | None, set[str]]]]:
    """Map each container's key to its body's blocks, each with its branch."""
    return {step["key"]: _body(step) for step in story.all_steps if step.get("steps")}


def _body(step: Mapping[str, Any]) -> list[tuple[str | None, set[str]]]:
    has_branches = step.get("step_type") in ("branch", "parallel")
    steps = in_order(step["steps"])
    by_key = {each["key"]: each for each in steps}
    found = []
    for block in _blocks(steps):
        first = min(block)
        branch = (by_key[first].get("branch") or first) if has_branches else None
        found.append((branch, block))
    return found


def _open(story: Story) -> Iterator[str]:
    execution = story.execution
    if story.is_over or execution.status in ("paused", "waiting"):
        return
    outside = {
        step["key"]
        for step in story.all_steps
        if step.get("step_type") in WAITS_OUTSIDE
    }
    named = any(
        run.status == "needs_attention"
        or (run.status == "waiting" and run.key in outside)
        or (run.status == "retrying" and run.retry_at and run.retry_at > execution.now)
        for run in story.runs
    )
    if not named:
        rows = [f"{run.path} {run.status}" for run in story.every_run]
        runs = ", ".join(rows[-20:]) or "no step"
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
    stops = any(step.get("step_type") == "stop" for step in story.all_steps)
    if story.execution.status == "completed" and not stops:
        missing = {step["key"] for step in story.steps} - {r.path for r in story.runs}
        yield from (f"is completed without step {key}" for key in sorted(missing))


def _framing(story: Story) -> Iterator[str]:
    """Frames have no worker, end with their execution, and bound what is in them."""
    frames = story.frames
    for path, frame in frames.items():
        if story.is_over and frame.status in OPEN_STEP:
            yield f"is over, but frame {path} is {frame.status}"
        if story.execution.status == "completed" and frame.heard is False:
            yield f"is completed, but nobody has heard of the end of frame {path}"
        if frame.status not in ("pending", "waiting", *TERMINAL):
            yield f"frame {path} is {frame.status}"
    for run in story.every_run:
        if run.worker is not None and (
            run.cursor is not None or run.status == "waiting"
        ):
            yield f"{run.path} is {run.status} and has a worker"
        around = frames.get(run.path.rpartition("/")[0])
        yield from _inside(run, around)


def _inside(run: Any, frame: Any) -> Iterator[str]:
    if frame is None:
        if "/" in run.path:
            yield f"{run.path} stands in a frame that there is not"
        return
    if frame.status == "pending":
        yield f"{run.path} is {run.status} in a frame that was never opened"
    if frame.finished_at is None:
        return
    if run.status in OPEN_STEP:
        yield f"{run.path} is {run.status} in a frame that has ended"
    if run.started_at and run.started_at > frame.finished_at:
        yield f"{run.path} began after its frame had ended"


def _asking(story: Story) -> Iterator[str]:
    """Nobody answers once an execution is over; what was not answered is open no more."""
    end = story.execution.finished_at
    for question in story.questions:
        if question.decision is None or not story.is_over:
            continue
        if question.decision != "withdrawn" and question.decided_at > end:
            yield f"is over, but {question.path} was {question.decision} after that"


def _family(story: Story, over: set[str]) -> Iterator[str]:
    """A child for which a parent waited ends with it."""
    execution = story.execution
    if execution.parent in over and execution.awaited:
        what = "was not heard of" if story.is_over else f"is {execution.status}"
        yield f"{what}, though its parent {execution.parent} has ended"


def _attempts(story: Story, max_crashes: int) -> Iterator[str]:
    allowed = {
        name: step.get("max_retries", 0) + 1
        for step in story.all_steps
        for name in (step["key"], f"undo_{step['key']}")
    }
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
    """An outsider sees one idempotency key per step run, and it is its id."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for story in stories:
        for run in story.runs:
            ids[story.execution.id, run.key].add(run.id)
    known = {story.execution.id for story in stories}
    seen: Counter[tuple[str, str, str | None]] = Counter(
        (each.body["execution"], each.body["step"], each.key)
        for each in effects
        if isinstance(each.body, dict) and each.body.get("execution") in known
    )
    for execution, step, key in seen:
        runs = ids.get((execution, step), set())
        if key not in runs:
            yield (
                f"execution {execution}: step {step} reached the outside with key {key}, "
                f"its runs are {', '.join(sorted(runs)[:5])}"
            )
