"""How a step run begins: claimed by a worker, or skipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a claim writes; `timeout_ms` bounds the attempt."""

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

    def params(self, prefix: str = "") -> dict[str, Any]:
        return {
            "execution": self.execution_id,
            "epoch": self.epoch,
            f"{prefix}id": self.id,
            f"{prefix}ordinal": self.ordinal,
            f"{prefix}path": self.path,
            f"{prefix}key": self.key,
            f"{prefix}role": self.role_name,
            f"{prefix}worker": self.worker,
            f"{prefix}input": json_or_null(self.input),
            f"{prefix}timeout_ms": self.timeout_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    A step run that is this worker's own, until its lease or `deadline` ends.

    `fence` marks this attempt: what an older one reports affects no row.
    """

    run: NewRun
    attempt: int
    crashes: int
    fence: int
    deadline: datetime
    left_s: float  # from the claim to the deadline, by the database's clock

    @classmethod
    def of(cls, run: NewRun, row: tuple[Any, ...]) -> Claim:
        attempt, crashes, fence, deadline, left_s = row
        return cls(
            run=run,
            attempt=attempt,
            crashes=crashes,
            fence=fence,
            deadline=deadline,
            left_s=left_s,
        )

    @property
    def tries(self) -> int:
        """The attempts made so far, those lost with their worker left out."""
        return self.attempt - self.crashes


# A lost claim does no harm: the step is claimed again, under the same id. So its
# commit need not wait for the disk.
_NO_WAIT: LiteralString = "SELECT set_config('synchronous_commit', 'off', true) AS set"

# The first claim of an execution starts it; the stronger lock lets the members of a
# first group queue where two shared locks that both want more would deadlock.
_CLAIM: LiteralString = """
WITH hurry AS MATERIALIZED ({no_wait}),
e AS MATERIALIZED (
  SELECT x.id, x.status, x.deadline_at FROM executions_execution x, hurry
  WHERE x.id = %(execution)s AND x.epoch = %(epoch)s
    AND x.status IN ('pending', 'running')
  {lock} OF x),
started AS (
  UPDATE executions_execution x
  SET status = 'running', started_at = coalesce(x.started_at, clock_timestamp())
  FROM e WHERE x.id = e.id AND e.status = 'pending'
  RETURNING x.id),
claimed AS (
  INSERT INTO executions_steprun AS s
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, worker, input, started_at, attempt_deadline)
  SELECT %(id)s, e.id, %(ordinal)s, %(path)s, %(key)s, %(role)s, 'running', 1, 0,
     1, %(worker)s, %(input)s::jsonb, clock_timestamp(),
     least(clock_timestamp() + %(timeout_ms)s * interval '1 ms', e.deadline_at)
  FROM e
  ON CONFLICT (id) DO UPDATE SET
    status = 'running', attempt = s.attempt + 1, fence = s.fence + 1,
    worker = excluded.worker, input = excluded.input, retry_at = NULL,
    started_at = coalesce(s.started_at, excluded.started_at),
    attempt_deadline = excluded.attempt_deadline
  WHERE s.status = 'pending'
     OR (s.status = 'retrying'
         AND s.retry_at <= clock_timestamp() + interval '100 ms')
  RETURNING s.attempt, s.crashes, s.fence, s.attempt_deadline,
    extract(epoch FROM s.attempt_deadline - clock_timestamp())::float8 AS left_s),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data)
  SELECT started.id, 'execution.started', NULL, NULL::jsonb FROM started
  UNION ALL
  SELECT %(execution)s, 'step.started', %(path)s,
    jsonb_build_object('attempt', claimed.attempt) FROM claimed)
SELECT attempt, crashes, fence, attempt_deadline, left_s FROM claimed
"""
_CLAIM_OF_RUNNING = _CLAIM.format(no_wait=_NO_WAIT, lock="FOR SHARE")
_CLAIM_OF_PENDING = _CLAIM.format(no_wait=_NO_WAIT, lock="FOR NO KEY UPDATE")


def claim(run: NewRun, *, execution_started: bool) -> Claim | None:
    """
    Make the step this worker's own; None when it was not to be had.

    The guard: the execution is alive and of this epoch, and the step is new,
    returned, or due for its retry.
    """
    sql = _CLAIM_OF_RUNNING if execution_started else _CLAIM_OF_PENDING
    for row in fetch(sql, run.params()):
        return Claim.of(run, row)
    return None


_CLAIM_OF: LiteralString = """
SELECT s.attempt, s.crashes, s.fence, s.attempt_deadline,
  extract(epoch FROM s.attempt_deadline - clock_timestamp())::float8
FROM executions_steprun s
WHERE s.id = %(id)s AND s.status = 'running' AND s.worker = %(worker)s
"""


def claim_of(run: NewRun) -> Claim | None:
    """Return the claim that this worker holds on a step, None if it holds none."""
    for row in fetch(_CLAIM_OF, {"id": run.id, "worker": run.worker}):
        return Claim.of(run, row)
    return None


_SKIP: LiteralString = f"""
WITH hurry AS MATERIALIZED ({_NO_WAIT}),
e AS MATERIALIZED (
  SELECT x.id, x.status FROM executions_execution x, hurry
  WHERE x.id = %(execution)s AND x.epoch = %(epoch)s
    AND x.status IN ('pending', 'running')
  FOR NO KEY UPDATE OF x),
started AS (
  UPDATE executions_execution x
  SET status = 'running', started_at = coalesce(x.started_at, clock_timestamp())
  FROM e WHERE x.id = e.id AND e.status = 'pending'
  RETURNING x.id),
skipped AS (
  INSERT INTO executions_steprun AS s
    (id, execution_id, ordinal, path, key, role_name, status, attempt, crashes,
     fence, started_at, finished_at)
  SELECT %(id)s, e.id, %(ordinal)s, %(path)s, %(key)s, %(role)s, 'skipped', 0, 0,
     1, clock_timestamp(), clock_timestamp() FROM e
  ON CONFLICT (id) DO NOTHING
  RETURNING s.id),
told AS (
  INSERT INTO executions_event (execution_id, type, path)
  SELECT started.id, 'execution.started', NULL FROM started
  UNION ALL
  SELECT %(execution)s, 'step.skipped', %(path)s FROM skipped)
SELECT id FROM skipped
"""


def skip(run: NewRun) -> bool:
    """Settle a step whose condition is false; False when somebody else settled it."""
    return bool(fetch(_SKIP, run.params()))
