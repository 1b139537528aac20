"""How a step run begins: claimed by a worker, or skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from time import monotonic
from typing import Any, Literal, LiteralString
from uuid import UUID

from executions.committer import fetch, share
from executions.database import json_or_null
from executions.lifecycle.locking import lock_execution
from executions.states import StepStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """
    What a claim writes.

    `timeout_ms` bounds the attempt and `total_timeout_ms` all attempts together. A
    `durable` claim is on disk before the work begins, so that even a database that
    crashes cannot forget that the step was begun.
    """

    id: UUID
    execution_id: UUID
    epoch: int
    ordinal: int
    path: str
    key: str
    role_name: str
    worker: UUID
    input: Any
    timeout_ms: int
    total_timeout_ms: int | None = None
    durable: bool = False
    frame: UUID | None = None  # the run of the frame that it stands in, below the top

    def params(self, prefix: str = "") -> dict[str, Any]:
        return {
            "execution": self.execution_id,
            "epoch": self.epoch,
            f"{prefix}id": self.id,
            f"{prefix}frame": self.frame,
            f"{prefix}ordinal": self.ordinal,
            f"{prefix}path": self.path,
            f"{prefix}key": self.key,
            f"{prefix}role": self.role_name,
            f"{prefix}worker": self.worker,
            f"{prefix}input": json_or_null(self.input),
            f"{prefix}timeout_ms": self.timeout_ms,
            f"{prefix}total_timeout_ms": self.total_timeout_ms,
        }


Limit = Literal["attempt", "step", "execution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    A step run that is this worker's own, until its lease or `deadline` ends.

    `fence` marks this attempt: what an older one reports affects no row.
    """

    run: NewRun
    attempt: int
    crashes: int
    spent: int
    fence: int
    ends_at: float  # the deadline, in POSIX seconds
    left_s: float  # from the claim to the deadline, by the database's clock
    step_left_s: float | None  # and to the end of all attempts
    limit: Limit  # whose time it is that ends at the deadline
    made_at: float = field(default_factory=monotonic, compare=False)

    @classmethod
    def of(cls, run: NewRun, row: tuple[Any, ...]) -> Claim:
        """Read what `CLAIMED` selects."""
        attempt, crashes, spent, fence, ends_at, left_s, step_left_s, limit = row
        return cls(
            run=run,
            attempt=attempt,
            crashes=crashes,
            spent=spent,
            fence=fence,
            ends_at=ends_at,
            left_s=left_s,
            step_left_s=step_left_s,
            limit=limit,
        )

    @property
    def deadline(self) -> datetime:
        """Return when the attempt ends, by the database's clock."""
        return datetime.fromtimestamp(self.ends_at, UTC)

    @property
    def tries(self) -> int:
        """The attempts that count against max_retries: none lost with its worker."""
        return self.attempt - self.crashes - self.spent

    def retry_fits(self, delay_s: float) -> bool:
        """Tell whether an attempt `delay_s` seconds from now begins in time."""
        if self.step_left_s is None:
            return True
        return monotonic() - self.made_at + delay_s < self.step_left_s


# What a claim tells, of the step run `s` in an execution that ends at `deadline_at`.
CLAIMED: LiteralString = """
  s.attempt, s.crashes, s.spent, s.fence,
  extract(epoch FROM s.attempt_deadline)::float8,
  extract(epoch FROM s.attempt_deadline - clock_timestamp())::float8,
  extract(epoch FROM s.deadline_at - clock_timestamp())::float8,
  CASE WHEN e.deadline_at <= s.attempt_deadline THEN 'execution'
       WHEN s.deadline_at <= s.attempt_deadline THEN 'step'
       ELSE 'attempt' END
"""
# The runs `new`, as they are first claimed in an execution `e`.
FIRST_CLAIM: LiteralString = """
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, worker, input, started_at, deadline_at, attempt_deadline)
  SELECT new.id, e.id, new.ordinal, new.path, new.key, new.role,
     'running', 1, 0, 1, new.worker, new.input, clock_timestamp(),
     clock_timestamp() + new.total_timeout_ms * interval '1 ms',
     least(clock_timestamp() + new.timeout_ms * interval '1 ms',
       clock_timestamp() + new.total_timeout_ms * interval '1 ms',
       e.deadline_at)
"""
# One run as `new`; `{at}` prefixes its parameters.
ONE_RUN: LiteralString = """(
  SELECT %({at}id)s::uuid AS id, %({at}ordinal)s::int AS ordinal,
    %({at}path)s::text AS path, %({at}key)s::text AS key, %({at}role)s::text AS role,
    %({at}worker)s::uuid AS worker, %({at}input)s::jsonb AS input,
    %({at}timeout_ms)s::bigint AS timeout_ms,
    %({at}total_timeout_ms)s::bigint AS total_timeout_ms) AS new
"""

# A lost claim does no harm: the step is claimed again, under the same id. So its
# commit need not wait for the disk.
NO_WAIT: LiteralString = "SELECT set_config('synchronous_commit', 'off', true) AS set"
_WAIT: LiteralString = "SELECT 1 AS set"

# The first claim of an execution starts it, and so does one after a wait; their
# stronger lock lets the members of a group queue where two shared locks that both
# want more would deadlock.
STARTING: LiteralString = """
e AS MATERIALIZED (
  SELECT x.id, x.status, x.deadline_at FROM executions_execution x, pace
  WHERE x.id = %(execution)s AND x.epoch = %(epoch)s
    AND x.status IN ('pending', 'running', 'waiting') AND x.cancel_request IS NULL
  {lock} OF x),
started AS (
  UPDATE executions_execution x
  SET status = 'running', started_at = coalesce(x.started_at, clock_timestamp())
  FROM e WHERE x.id = e.id AND e.status <> 'running'
  RETURNING x.id, e.status AS was)
"""
# A frame that is cut begins nothing more. Its row is locked, so that a claim sees what
# became of it while the claim waited for the execution's.
IN_FRAME: LiteralString = """
frame AS MATERIALIZED (
  SELECT f.id FROM e, executions_steprun f
  WHERE f.id = %(frame)s AND f.status = 'waiting' FOR SHARE OF f),
"""
RUNNING: LiteralString = "FOR SHARE"
NOT_RUNNING: LiteralString = "FOR NO KEY UPDATE"
# What a beginning tells; one statement, so that the events stand in this order.
BEGUN: LiteralString = """
  SELECT started.id, 'execution.started', NULL, NULL::jsonb FROM started
  WHERE started.was = 'pending'
"""

_CLAIM: LiteralString = """
WITH pace AS MATERIALIZED ({pace}),
{starting},
{framed}
s AS (
  INSERT INTO executions_steprun AS s {first} FROM {within}, {new}
  ON CONFLICT (id) DO UPDATE SET
    status = 'running', attempt = s.attempt + 1, fence = s.fence + 1,
    worker = excluded.worker, input = excluded.input, retry_at = NULL,
    started_at = coalesce(s.started_at, excluded.started_at),
    deadline_at = coalesce(s.deadline_at, excluded.deadline_at),
    attempt_deadline = least(excluded.attempt_deadline, s.deadline_at)
  WHERE s.status = 'pending'
     OR (s.status = 'retrying'
         AND s.retry_at <= clock_timestamp() + interval '100 ms')
  RETURNING s.attempt, s.crashes, s.spent, s.fence, s.attempt_deadline,
    s.deadline_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {begun}
  UNION ALL
  SELECT %(execution)s, 'step.started', %(path)s,
    jsonb_build_object('attempt', s.attempt) FROM s)
SELECT {claimed} FROM s, e
"""


def _claim_sql(
    pace: LiteralString, lock: LiteralString, *, in_frame: bool
) -> LiteralString:
    return _CLAIM.format(
        pace=pace,
        starting=STARTING.format(lock=lock),
        framed=IN_FRAME if in_frame else "",
        within=within(in_frame=in_frame),
        begun=BEGUN,
        first=FIRST_CLAIM,
        new=ONE_RUN.format(at=""),
        claimed=CLAIMED,
    )


def within(*, in_frame: bool) -> LiteralString:
    """Name what a run is claimed in: its execution and, below the top, its frame."""
    return "e, frame" if in_frame else "e"


# By whether the claim is durable, whether the execution runs already, and whether the
# step stands in a frame.
_CLAIMS: Mapping[tuple[bool, bool, bool], LiteralString] = {
    (durable, started, in_frame): _claim_sql(
        _WAIT if durable else NO_WAIT,
        RUNNING if started else NOT_RUNNING,
        in_frame=in_frame,
    )
    for durable, started, in_frame in product((False, True), repeat=3)
}
share("relaxed", *(sql for (durable, *_), sql in _CLAIMS.items() if not durable))
share("durable", *(sql for (durable, *_), sql in _CLAIMS.items() if durable))


def claim(run: NewRun, *, execution_started: bool) -> Claim | None:
    """
    Make the step this worker's own; None when it was not to be had.

    The guard: the execution is alive and of this epoch, the step's frame is open, and
    the step is new, returned, or due for its retry.
    """
    sql = _CLAIMS[run.durable, execution_started, run.frame is not None]
    for row in fetch(sql, run.params()):
        return Claim.of(run, row)
    return None


_OF_ONE: LiteralString = f"""
SELECT {CLAIMED}
FROM executions_steprun s JOIN executions_execution e ON e.id = s.execution_id
WHERE s.id = %(id)s AND
"""
_CLAIM_OF: LiteralString = f"""
{_OF_ONE} s.status = 'running' AND s.worker = %(worker)s
"""
_HELD: LiteralString = f"{_OF_ONE} s.status = %(was)s"


def claim_of(run: NewRun) -> Claim | None:
    """Return the claim that this worker holds on a step, None if it holds none."""
    for row in fetch(_CLAIM_OF, {"id": run.id, "worker": run.worker}):
        return Claim.of(run, row)
    return None


def hold(run: NewRun, *, was: StepStatus) -> Claim | None:
    """
    Hold a step that no worker has, as a worker would; None if it is not as it `was`.

    The execution's row is held as well, until the caller's transaction ends.
    """
    lock_execution(run.execution_id)
    for row in fetch(_HELD, {"id": run.id, "was": was.value}):
        return Claim.of(run, row)
    return None


_SKIP: LiteralString = """
WITH pace AS MATERIALIZED ({pace}),
{starting},
{framed}
skipped AS (
  INSERT INTO executions_steprun AS s
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, started_at, finished_at)
  SELECT %(id)s, e.id, %(ordinal)s, %(path)s, %(key)s, %(role)s, 'skipped', 0, 0,
     1, clock_timestamp(), clock_timestamp() FROM {within}
  ON CONFLICT (id) DO UPDATE SET
    status = 'skipped', fence = s.fence + 1, finished_at = excluded.finished_at
  WHERE s.status = 'pending'
  RETURNING s.id),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data) {begun}
  UNION ALL
  SELECT %(execution)s, 'step.skipped', %(path)s, NULL FROM skipped)
SELECT id FROM skipped
"""


def _skip_sql(*, in_frame: bool) -> LiteralString:
    return _SKIP.format(
        pace=NO_WAIT,
        starting=STARTING.format(lock=NOT_RUNNING),
        framed=IN_FRAME if in_frame else "",
        within=within(in_frame=in_frame),
        begun=BEGUN,
    )


_SKIPS: Mapping[bool, LiteralString] = {
    in_frame: _skip_sql(in_frame=in_frame) for in_frame in (False, True)
}
share("relaxed", *_SKIPS.values())


def skip(run: NewRun) -> bool:
    """Settle a step whose condition is false; False when somebody else settled it."""
    return bool(fetch(_SKIPS[run.frame is not None], run.params()))
