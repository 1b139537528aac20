"""
Steps of one batch ended in one statement, with what follows each of them.

What follows is nothing, the claim of the execution's next step, or the execution's end.
The guards are those of the same transitions taken singly, in `outcomes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch, json_or_null
from executions.lifecycle.batches import (
    HELD,
    MANY_RUNS,
    claims,
    executions_of,
    params_of,
)
from executions.lifecycle.claims import (
    CLAIMED,
    FIRST_CLAIM,
    NOT_RUNNING,
    RUNNING,
    Claim,
    NewRun,
)
from executions.lifecycle.outcomes import GOES_ON, Outcome, Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """
    How a claimed step ended, and how many seconds ago it began and ended.

    `told` says that its beginning is on record already.
    """

    claim: Claim
    outcome: Outcome
    began_ago: float
    ended_ago: float
    told: bool = False


_DONE: LiteralString = """
done AS (
  UPDATE executions_steprun s SET
    status = ended.status, output = ended.output, exports = ended.exports,
    error = ended.error, usage = ended.usage,
    started_at = CASE WHEN ended.told THEN s.started_at
      ELSE statement_timestamp() - ended.began_ago * interval '1 second' END,
    finished_at = statement_timestamp() - ended.ended_ago * interval '1 second',
    attempt_deadline = NULL
  FROM held, unnest(%(ids)s::uuid[], %(fences)s::int[], %(statuses)s::text[],
      %(outputs)s::jsonb[], %(exports)s::jsonb[], %(errors)s::jsonb[],
      %(usages)s::jsonb[], %(began_ago)s::float8[], %(ended_ago)s::float8[],
      %(told)s::bool[])
    AS ended(id, fence, status, output, exports, error, usage, began_ago, ended_ago,
      told)
  WHERE s.id = ended.id AND s.fence = ended.fence AND s.status = 'running'
  RETURNING s.id, s.execution_id, s.path, s.status, s.error, s.attempt, s.started_at,
    s.finished_at, ended.told)
"""
_TOLD: LiteralString = """
told AS (
  INSERT INTO executions_event (execution_id, type, path, data, created_at)
  SELECT told.* FROM (
    SELECT done.execution_id, each.type, done.path, each.data, each.at
    FROM done CROSS JOIN LATERAL (VALUES
      ('step.started', jsonb_build_object('attempt', done.attempt), done.started_at),
      ('step.' || done.status, done.error, done.finished_at)) AS each(type, data, at)
    WHERE NOT (done.told AND each.type = 'step.started')
    {more}) AS told(execution_id, type, path, data, at)
  ORDER BY told.at)
"""
_SETTLE_MANY: LiteralString = f"""
WITH {HELD.format(lock=RUNNING)}, {_DONE}, {_TOLD.format(more="")}
SELECT id FROM done
"""


def settle_many(finished: Sequence[Finished]) -> set[UUID]:
    """Record that steps of one batch began and how they ended; say of which."""
    return {row[0] for row in fetch(_SETTLE_MANY, _params(finished))}


_SETTLE_AND_CLAIM_MANY: LiteralString = f"""
WITH {HELD.format(lock=RUNNING)}, {_DONE},
e AS (SELECT x.id, x.deadline_at, x.epoch FROM locked x WHERE {GOES_ON}),
pair AS (
  SELECT * FROM unnest(%(ids)s::uuid[], %(new_ids)s::uuid[]) AS pair(id, next)),
s AS (
  INSERT INTO executions_steprun AS s {FIRST_CLAIM}
  FROM e JOIN {MANY_RUNS} ON new.execution = e.id AND new.epoch = e.epoch
  JOIN pair ON pair.next = new.id JOIN done ON done.id = pair.id
  ORDER BY new.id
  ON CONFLICT (id) DO NOTHING
  RETURNING s.id, s.execution_id, s.attempt, s.crashes, s.spent, s.fence,
    s.attempt_deadline, s.deadline_at),
{_TOLD.format(more="")}
SELECT done.id, s.id, {CLAIMED}
FROM done JOIN pair ON pair.id = done.id
LEFT JOIN (s JOIN e ON e.id = s.execution_id) ON s.id = pair.next
"""


def settle_and_claim_many(
    finished: Sequence[Finished], following: Sequence[NewRun]
) -> list[Settled]:
    """
    Record how steps of several executions ended, and claim the next of each.

    The answers stand in the order of the steps, as what follows them does.
    """
    params = _params(finished) | params_of(following)
    rows = fetch(_SETTLE_AND_CLAIM_MANY, params)
    recorded = {row[0] for row in rows}
    claimed = claims(following, (row[1:] for row in rows if row[1] is not None))
    by_run = {claim.run.id: claim for claim in claimed}
    return [
        Settled(recorded=each.claim.run.id in recorded, next=by_run.get(run.id))
        for each, run in zip(finished, following, strict=True)
    ]


_SETTLE_AND_COMPLETE_MANY: LiteralString = f"""
WITH {HELD.format(lock=NOT_RUNNING)}, {_DONE},
e AS (
  SELECT x.id FROM locked x JOIN done ON done.execution_id = x.id WHERE {GOES_ON}),
ended AS (
  UPDATE executions_execution x
  SET status = 'completed', output = result.output,
    finished_at = clock_timestamp(), wake_at = NULL
  FROM e, unnest(%(result_executions)s::uuid[], %(results)s::jsonb[])
    AS result(execution, output)
  WHERE x.id = e.id AND result.execution = e.id
  RETURNING x.id, x.finished_at),
{
    _TOLD.format(
        more='''UNION ALL
    SELECT ended.id, 'execution.completed', NULL, NULL, ended.finished_at FROM ended'''
    )
}
SELECT id FROM done
"""


_SETTLE_AND_CLOSE_MANY: LiteralString = f"""
WITH {HELD.format(lock=RUNNING)}, {_DONE},
closed AS (
  UPDATE executions_steprun f SET
    status = 'completed', output = result.output, heard = false,
    finished_at = clock_timestamp()
  FROM done, unnest(%(ids)s::uuid[], %(frames)s::uuid[], %(results)s::jsonb[])
    AS result(id, frame, output)
  WHERE result.id = done.id AND f.id = result.frame AND f.status = 'waiting'
  RETURNING f.id),
{_TOLD.format(more="")}
SELECT id FROM done
"""


def settle_and_close_many(
    finished: Sequence[Finished], results: Sequence[Any]
) -> set[UUID]:
    """Record how the last steps of frames ended, and the frames with them."""
    more = {
        "frames": [each.claim.run.frame for each in finished],
        "results": [json_or_null(result) for result in results],
    }
    rows = fetch(_SETTLE_AND_CLOSE_MANY, _params(finished) | more)
    return {row[0] for row in rows}


def settle_and_complete_many(
    finished: Sequence[Finished], results: Sequence[Any]
) -> set[UUID]:
    """Record how the last steps of executions ended, and the executions with them."""
    more = {
        "result_executions": [each.claim.run.execution_id for each in finished],
        "results": [json_or_null(result) for result in results],
    }
    rows = fetch(_SETTLE_AND_COMPLETE_MANY, _params(finished) | more)
    return {row[0] for row in rows}


def _params(finished: Sequence[Finished]) -> dict[str, Any]:
    return {
        **executions_of(each.claim.run for each in finished),
        "ids": [each.claim.run.id for each in finished],
        "fences": [each.claim.fence for each in finished],
        "statuses": [each.outcome.status.value for each in finished],
        "outputs": [json_or_null(each.outcome.output) for each in finished],
        "exports": [json_or_null(each.outcome.exports) for each in finished],
        "errors": [json_or_null(each.outcome.error) for each in finished],
        "usages": [json_or_null(each.outcome.usage) for each in finished],
        "began_ago": [each.began_ago for each in finished],
        "ended_ago": [each.ended_ago for each in finished],
        "told": [each.told for each in finished],
    }
