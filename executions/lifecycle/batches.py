"""
Many members of one parallel group in one statement: claimed, settled, put back.

A batch claims only steps that nobody has begun before, and tells of their beginnings
when they are over or when they turn out to be long: an event says what happened, not
what was intended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null
from executions.lifecycle.claims import (
    BEGUN,
    CLAIMED,
    FIRST_CLAIM,
    NO_WAIT,
    NOT_RUNNING,
    RUNNING,
    STARTING,
    Claim,
    NewRun,
)
from executions.lifecycle.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a claimed step ended, and how many seconds ago it began and ended."""

    claim: Claim
    outcome: Outcome
    began_ago: float
    ended_ago: float


_MANY_RUNS: LiteralString = """
  unnest(%(ids)s::uuid[], %(ordinals)s::int[], %(paths)s::text[], %(keys)s::text[],
    %(roles)s::text[], %(workers)s::uuid[], %(inputs)s::jsonb[],
    %(timeouts_ms)s::bigint[], %(total_timeouts_ms)s::bigint[])
  AS new(id, ordinal, path, key, role, worker, input, timeout_ms, total_timeout_ms)
"""
_CLAIM_MANY: LiteralString = """
WITH pace AS MATERIALIZED ({pace}),
{starting},
s AS (
  INSERT INTO executions_steprun AS s {first} FROM e, {runs}
  ORDER BY new.id
  ON CONFLICT (id) DO NOTHING
  RETURNING s.id, s.attempt, s.crashes, s.spent, s.fence, s.attempt_deadline,
    s.deadline_at),
told AS (INSERT INTO executions_event (execution_id, type, path, data) {begun})
SELECT s.id, {claimed} FROM s, e
"""


def _claim_many_sql(lock: LiteralString) -> LiteralString:
    return _CLAIM_MANY.format(
        pace=NO_WAIT,
        starting=STARTING.format(lock=lock),
        first=FIRST_CLAIM,
        runs=_MANY_RUNS,
        begun=BEGUN,
        claimed=CLAIMED,
    )


_CLAIM_MANY_STARTING = _claim_many_sql(NOT_RUNNING)
_CLAIM_MANY_RUNNING = _claim_many_sql(RUNNING)


def claim_many(runs: Sequence[NewRun], *, execution_started: bool) -> list[Claim]:
    """
    Make steps of one execution this worker's own, those that nobody ever began.

    The guard is that of a single claim; each run that it refuses is left out.
    """
    sql = _CLAIM_MANY_RUNNING if execution_started else _CLAIM_MANY_STARTING
    params = {
        "execution": runs[0].execution_id,
        "epoch": runs[0].epoch,
        "ids": [run.id for run in runs],
        "ordinals": [run.ordinal for run in runs],
        "paths": [run.path for run in runs],
        "keys": [run.key for run in runs],
        "roles": [run.role_name for run in runs],
        "workers": [run.worker for run in runs],
        "inputs": [json_or_null(run.input) for run in runs],
        "timeouts_ms": [run.timeout_ms for run in runs],
        "total_timeouts_ms": [run.total_timeout_ms for run in runs],
    }
    return _claims(runs, fetch(sql, params))


_CLAIMS_OF: LiteralString = f"""
SELECT s.id, {CLAIMED}
FROM executions_steprun s JOIN executions_execution e ON e.id = s.execution_id
WHERE s.id = ANY(%(ids)s) AND s.status = 'running' AND s.worker = %(worker)s
"""


def claims_of(runs: Sequence[NewRun]) -> list[Claim]:
    """Return the claims that this worker holds, after a reply that was lost."""
    params = {"ids": [run.id for run in runs], "worker": runs[0].worker}
    return _claims(runs, fetch(_CLAIMS_OF, params))


def _claims(runs: Sequence[NewRun], rows: Iterable[tuple[Any, ...]]) -> list[Claim]:
    """Pair rows with their runs, in the order of the runs."""
    claimed = {row[0]: row[1:] for row in rows}
    return [Claim.of(run, claimed[run.id]) for run in runs if run.id in claimed]


# Locks the execution first, as every transition does. One clock for all, read before
# the lock is waited for: the steps keep their order, and their distance from now.
_SETTLE_MANY: LiteralString = """
WITH locked AS MATERIALIZED (
  SELECT x.id FROM executions_execution x WHERE x.id = %(execution)s FOR SHARE OF x),
held AS MATERIALIZED (SELECT count(*) FROM locked),
done AS (
  UPDATE executions_steprun s SET
    status = ended.status, output = ended.output, exports = ended.exports,
    error = ended.error, usage = ended.usage,
    started_at = statement_timestamp() - ended.began_ago * interval '1 second',
    finished_at = statement_timestamp() - ended.ended_ago * interval '1 second',
    attempt_deadline = NULL
  FROM held, unnest(%(ids)s::uuid[], %(fences)s::int[], %(statuses)s::text[],
      %(outputs)s::jsonb[], %(exports)s::jsonb[], %(errors)s::jsonb[],
      %(usages)s::jsonb[], %(began_ago)s::float8[], %(ended_ago)s::float8[])
    AS ended(id, fence, status, output, exports, error, usage, began_ago, ended_ago)
  WHERE s.id = ended.id AND s.fence = ended.fence AND s.status = 'running'
  RETURNING s.id, s.path, s.status, s.error, s.attempt, s.started_at,
    s.finished_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data, created_at)
  SELECT %(execution)s, told.type, done.path, told.data, told.at
  FROM done CROSS JOIN LATERAL (VALUES
    ('step.started', jsonb_build_object('attempt', done.attempt), done.started_at),
    ('step.' || done.status, done.error, done.finished_at)) AS told(type, data, at)
  ORDER BY told.at)
SELECT id FROM done
"""


def settle_many(finished: Sequence[Finished]) -> set[UUID]:
    """Record that steps of one batch began and how they ended; tell for which."""
    params = {
        "execution": finished[0].claim.run.execution_id,
        "ids": [each.claim.run.id for each in finished],
        "fences": [each.claim.fence for each in finished],
        "statuses": [each.outcome.status.value for each in finished],
        "outputs": [json_or_null(each.outcome.output) for each in finished],
        "exports": [json_or_null(each.outcome.exports) for each in finished],
        "errors": [json_or_null(each.outcome.error) for each in finished],
        "usages": [json_or_null(each.outcome.usage) for each in finished],
        "began_ago": [each.began_ago for each in finished],
        "ended_ago": [each.ended_ago for each in finished],
    }
    return {row[0] for row in fetch(_SETTLE_MANY, params)}


_BEGIN: LiteralString = """
WITH begun AS (
  UPDATE executions_steprun s
  SET started_at = statement_timestamp() - %(began_ago)s * interval '1 second'
  WHERE s.id = %(id)s AND s.fence = %(fence)s AND s.status = 'running'
  RETURNING s.execution_id, s.path, s.attempt, s.started_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data, created_at)
  SELECT execution_id, 'step.started', path, jsonb_build_object('attempt', attempt),
    started_at FROM begun)
SELECT path FROM begun
"""


def tell_begun(claim: Claim, *, began_ago: float) -> bool:
    """Tell that a step of a batch is under way, when it takes its time."""
    params = {"id": claim.run.id, "fence": claim.fence, "began_ago": began_ago}
    return bool(fetch(_BEGIN, params))


_PUT_BACK: LiteralString = """
WITH locked AS MATERIALIZED (
  SELECT x.id FROM executions_execution x WHERE x.id = %(execution)s FOR SHARE OF x),
held AS MATERIALIZED (SELECT count(*) FROM locked)
UPDATE executions_steprun s SET
  status = 'pending', attempt = 0, fence = s.fence + 1, worker = NULL,
  started_at = NULL, deadline_at = NULL, attempt_deadline = NULL
FROM held, unnest(%(ids)s::uuid[], %(fences)s::int[]) AS kept(id, fence)
WHERE s.id = kept.id AND s.fence = kept.fence AND s.status = 'running'
RETURNING s.id
"""


def put_back(claims: Sequence[Claim]) -> set[UUID]:
    """Give steps of a batch back that were claimed and never begun; tell which."""
    params = {
        "execution": claims[0].run.execution_id,
        "ids": [claim.run.id for claim in claims],
        "fences": [claim.fence for claim in claims],
    }
    return {row[0] for row in fetch(_PUT_BACK, params)}
