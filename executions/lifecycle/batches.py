"""
Steps of one batch begun in one statement, and given back if their turn does not come.

A batch holds members of one parallel group, or steps of several executions. Its claims
are of steps that nobody has begun before, and their beginnings are told when they are
over or turn out to be long: an event says what happened, not what was intended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null
from executions.lifecycle.claims import (
    CLAIMED,
    FIRST_CLAIM,
    NO_WAIT,
    NOT_RUNNING,
    RUNNING,
    Claim,
    NewRun,
)

# The runs `new`, and the execution that each belongs to.
MANY_RUNS: LiteralString = """
  unnest(%(new_executions)s::uuid[], %(new_epochs)s::int[], %(new_ids)s::uuid[],
    %(new_frames)s::uuid[],
    %(new_ordinals)s::int[], %(new_paths)s::text[], %(new_keys)s::text[],
    %(new_roles)s::text[], %(new_workers)s::uuid[], %(new_inputs)s::jsonb[],
    %(new_timeouts_ms)s::bigint[], %(new_total_timeouts_ms)s::bigint[])
  AS new(execution, epoch, id, frame, ordinal, path, key, role, worker, input, timeout_ms,
    total_timeout_ms)
"""
# Locks are taken in the order of the executions, by everyone who takes several.
_CLAIM_MANY: LiteralString = """
WITH pace AS MATERIALIZED ({pace}),
e AS MATERIALIZED (
  SELECT x.id, x.status, x.deadline_at
  FROM pace, executions_execution x
  JOIN (SELECT DISTINCT new.execution, new.epoch FROM {runs}) AS asked
    ON asked.execution = x.id AND asked.epoch = x.epoch
  WHERE x.status IN ('pending', 'running', 'waiting') AND x.cancel_request IS NULL
  ORDER BY x.id {lock} OF x),
started AS (
  UPDATE executions_execution x
  SET status = 'running', started_at = coalesce(x.started_at, clock_timestamp())
  FROM e WHERE x.id = e.id AND e.status <> 'running'
  RETURNING x.id, e.status AS was),
frame AS MATERIALIZED (
  SELECT f.id FROM e, executions_steprun f
  WHERE f.id = ANY(%(new_frames)s::uuid[]) AND f.execution_id = e.id
    AND f.status = 'waiting'
  ORDER BY f.id FOR SHARE OF f),
s AS (
  INSERT INTO executions_steprun AS s {first}
  FROM e JOIN {runs} ON new.execution = e.id
  WHERE new.frame IS NULL OR new.frame IN (SELECT id FROM frame)
  ORDER BY new.id
  ON CONFLICT (id) DO NOTHING
  RETURNING s.id, s.execution_id, s.attempt, s.crashes, s.spent, s.fence,
    s.attempt_deadline, s.deadline_at),
told AS (
  INSERT INTO executions_event (execution_id, type)
  SELECT started.id, 'execution.started' FROM started WHERE started.was = 'pending')
SELECT s.id, {claimed} FROM s JOIN e ON e.id = s.execution_id
"""


def _claim_many_sql(lock: LiteralString) -> LiteralString:
    return _CLAIM_MANY.format(
        pace=NO_WAIT, lock=lock, first=FIRST_CLAIM, runs=MANY_RUNS, claimed=CLAIMED
    )


_CLAIM_MANY_STARTING = _claim_many_sql(NOT_RUNNING)
_CLAIM_MANY_RUNNING = _claim_many_sql(RUNNING)


def claim_many(runs: Sequence[NewRun], *, started: bool) -> list[Claim]:
    """
    Make steps this worker's own, those that nobody ever began.

    The guard is that of a single claim; each run that it refuses is left out.
    `started` says that the executions run already.
    """
    sql = _CLAIM_MANY_RUNNING if started else _CLAIM_MANY_STARTING
    return claims(runs, fetch(sql, params_of(runs)))


def executions_of(runs: Iterable[NewRun]) -> dict[str, Any]:
    return {"executions": sorted({run.execution_id for run in runs})}


def params_of(runs: Sequence[NewRun]) -> dict[str, Any]:
    """Spell the runs as `MANY_RUNS` reads them."""
    return {
        "new_executions": [run.execution_id for run in runs],
        "new_epochs": [run.epoch for run in runs],
        "new_ids": [run.id for run in runs],
        "new_frames": [run.frame for run in runs],
        "new_ordinals": [run.ordinal for run in runs],
        "new_paths": [run.path for run in runs],
        "new_keys": [run.key for run in runs],
        "new_roles": [run.role_name for run in runs],
        "new_workers": [run.worker for run in runs],
        "new_inputs": [json_or_null(run.input) for run in runs],
        "new_timeouts_ms": [run.timeout_ms for run in runs],
        "new_total_timeouts_ms": [run.total_timeout_ms for run in runs],
    }


def claims(runs: Sequence[NewRun], rows: Iterable[tuple[Any, ...]]) -> list[Claim]:
    """Pair rows with their runs, in the order of the runs."""
    claimed: Mapping[UUID, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
    return [Claim.of(run, claimed[run.id]) for run in runs if run.id in claimed]


_CLAIMS_OF: LiteralString = f"""
SELECT s.id, {CLAIMED}
FROM executions_steprun s JOIN executions_execution e ON e.id = s.execution_id
WHERE s.id = ANY(%(ids)s) AND s.status = 'running' AND s.worker = %(worker)s
"""


def claims_of(runs: Sequence[NewRun]) -> list[Claim]:
    """Return the claims that this worker holds, after a reply that was lost."""
    params = {"ids": [run.id for run in runs], "worker": runs[0].worker}
    return claims(runs, fetch(_CLAIMS_OF, params))


# The executions come first, as in every transition.
HELD: LiteralString = """
locked AS MATERIALIZED (
  SELECT x.id, x.epoch, x.status, x.cancel_request, x.deadline_at
  FROM executions_execution x WHERE x.id = ANY(%(executions)s)
  ORDER BY x.id {lock} OF x),
held AS MATERIALIZED (SELECT count(*) FROM locked)
"""
_BEGIN: LiteralString = f"""
WITH {HELD.format(lock=RUNNING)},
begun AS (
  UPDATE executions_steprun s
  SET started_at = statement_timestamp() - under_way.ago * interval '1 second'
  FROM held, unnest(%(ids)s::uuid[], %(fences)s::int[], %(ago)s::float8[])
    AS under_way(id, fence, ago)
  WHERE s.id = under_way.id AND s.fence = under_way.fence AND s.status = 'running'
  RETURNING s.id, s.execution_id, s.path, s.attempt, s.started_at),
told AS (
  INSERT INTO executions_event (execution_id, type, path, data, created_at)
  SELECT execution_id, 'step.started', path, jsonb_build_object('attempt', attempt),
    started_at FROM begun ORDER BY started_at)
SELECT id FROM begun
"""


def tell_begun(*begun: tuple[Claim, float]) -> set[UUID]:
    """
    Tell that steps of a batch are under way, when they take their time; say of which.

    With each claim comes how many seconds ago its step began.
    """
    params = {
        **executions_of(claim.run for claim, _ in begun),
        "ids": [claim.run.id for claim, _ in begun],
        "fences": [claim.fence for claim, _ in begun],
        "ago": [ago for _, ago in begun],
    }
    return {row[0] for row in fetch(_BEGIN, params)}


_PUT_BACK: LiteralString = f"""
WITH {HELD.format(lock=RUNNING)}
UPDATE executions_steprun s SET
  status = 'pending', attempt = 0, fence = s.fence + 1, worker = NULL,
  started_at = NULL, deadline_at = NULL, attempt_deadline = NULL
FROM held, unnest(%(ids)s::uuid[], %(fences)s::int[]) AS kept(id, fence)
WHERE s.id = kept.id AND s.fence = kept.fence AND s.status = 'running'
RETURNING s.id
"""


def put_back(kept: Sequence[Claim]) -> set[UUID]:
    """Give steps of a batch back that were claimed and never begun; say which."""
    params = {
        **executions_of(claim.run for claim in kept),
        "ids": [claim.run.id for claim in kept],
        "fences": [claim.fence for claim in kept],
    }
    return {row[0] for row in fetch(_PUT_BACK, params)}
