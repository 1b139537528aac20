"""What deciding about a step takes, read from the record in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, LiteralString
from uuid import UUID

from core_orchestration.definition import Block
from executions.committer import fetch, share
from executions.database import decoded
from executions.identity import step_run_id
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.paths import TOP
from executions.plan import Needs, Plan, PlannedStep
from executions.situation.known import Row, Situation
from executions.states import StepStatus

_RUNS: LiteralString = """
  (SELECT json_agg(json_build_array(s.path, s.status, s.output, s.exports, s.error,
     CASE WHEN s.cursor IS NOT NULL THEN s.input END, s.cursor))
   FROM executions_steprun s WHERE {which} AND {bounded})
"""
# Of an execution `e`, in the order in which `_situation` takes them.
_STATE: LiteralString = """
  e.status, e.cancel_request IS NOT NULL, e.epoch, e.cursor, e.role_pins, e.input,
  e.awaited IS true, e.unwinding IS NOT NULL, {runs}
"""
_READ: LiteralString = """
SELECT {state} FROM executions_execution e WHERE e.id = %(execution)s
""".replace("{state}", _STATE)
_READ_NAMED = _READ.format(
    runs=_RUNS.format(which="s.id = ANY(%(ids)s)", bounded=BOUNDED)
)
_READ_TOP = _READ.format(
    runs=_RUNS.format(
        which="s.execution_id = e.id AND s.path = s.key AND s.cursor IS NULL",
        bounded=BOUNDED,
    )
)
share("reading", _READ_NAMED, _READ_TOP)


def read(
    execution_id: UUID, paths: Iterable[str], *, frame: str = TOP
) -> Situation | None:
    """
    Read an execution, a frame of it, and the runs at `paths`.

    None for an unknown execution.
    """
    named = (*paths, frame) if frame else paths
    ids = [step_run_id(execution_id, path) for path in named]
    known = _read(_READ_NAMED, execution_id, {"ids": ids})
    return known.within(frame) if known and frame else known


def read_all(execution_id: UUID, plan: Plan) -> Situation | None:
    """Read an execution and all runs of the steps of a plan, not of those inside."""
    if plan.is_top:
        return _read(_READ_TOP, execution_id, {})
    return read(execution_id, plan.by_path, frame=plan.frame)


def _read(
    sql: LiteralString, execution_id: UUID, more: Mapping[str, Any]
) -> Situation | None:
    params = {"execution": execution_id, **bounds(execution_id), **more}
    for row in fetch(sql, params):
        return _situation(*row)
    return None


def _situation(
    status: str,
    cancelling: bool,
    epoch: int,
    cursor: int,
    pins: Any,
    given: Any,
    awaited: bool,
    unwinding: bool,
    rows: Any,
) -> Situation:
    return Situation(
        status=status,
        cancelling=cancelling,
        epoch=epoch,
        cursor=cursor,
        role_pins=decoded(pins),
        input=decoded(given),
        awaited=awaited,
        unwinding=unwinding,
        rows={
            path: Row(StepStatus(state), *more)
            for path, state, *more in decoded(rows) or ()
        },
    )


_READ_SOME: LiteralString = """
SELECT e.id, {state} FROM executions_execution e WHERE e.id = ANY(%(executions)s)
""".replace("{state}", _STATE)
_READ_EACH = _READ_SOME.format(
    runs=_RUNS.format(
        which="s.execution_id = e.id AND s.path = ANY(%(paths)s)", bounded=BOUNDED
    )
)


def read_each(
    executions: Sequence[UUID], plan: Plan, planned: PlannedStep
) -> dict[UUID, Situation]:
    """Read what deciding about one step, at the top of several executions, takes."""
    paths = sorted(_decisive(plan, planned))
    params = {"executions": list(executions), "paths": paths}
    rows = fetch(_READ_EACH, params | bounds(*executions))
    return {execution: _situation(*row) for execution, *row in rows}


def read_frames(
    execution_id: UUID, steps: Sequence[PlannedStep]
) -> list[Situation | None]:
    """Read what deciding about one step in several frames of an execution takes."""
    named = {path for step in steps for path in _decisive(step.plan, step)}
    known = read(execution_id, named)
    if known is None:
        return [None for _ in steps]
    return [
        replace(known.within(step.plan.frame), rows=dict(known.rows)) for step in steps
    ]


def read_before(
    execution_id: UUID, plan: Plan, *steps: PlannedStep
) -> Situation | None:
    """
    Read what deciding about steps of one block takes.

    That is themselves, what comes before them, and what their templates name.
    """
    return read(execution_id, _decisive(plan, *steps), frame=plan.frame)


def _decisive(plan: Plan, *steps: PlannedStep) -> set[str]:
    paths = {
        path for step in steps for path in (step.path, *_readable(plan, step.before))
    }
    if not plan.is_top:
        paths.add(plan.frame)
    previous = block_before(plan, steps[0].block)
    looks_back = any(step.before.previous_output for step in steps)
    if previous and (looks_back or not previous.is_group):
        paths |= {other.path for other in plan.of_block(previous)}
    return paths


def read_more(execution_id: UUID, plan: Plan, needs: Needs, known: Situation) -> None:
    """Add what `needs` names and `known` lacks."""
    if missing := _readable(plan, needs) - known.rows.keys():
        read_further(execution_id, missing, known)


def _readable(plan: Plan, needs: Needs) -> set[str]:
    """List the paths to read; `context.errors` may name any step."""
    if needs.errors:
        return {*needs.paths, *(path for at in plan.outwards() for path in at.by_path)}
    return set(needs.paths)


_NONE_OPEN: LiteralString = """
SELECT NOT EXISTS (
  SELECT 1 FROM generate_series(%(last)s::int, %(first)s::int, -1) AS place(ordinal)
  LEFT JOIN LATERAL (
    SELECT s.status FROM executions_steprun s
    WHERE s.execution_id = %(execution)s AND s.ordinal = place.ordinal AND {bounded}
    LIMIT 1
  ) s ON true
  WHERE s.status IS NULL
     OR s.status NOT IN ('completed', 'failed', 'timed_out', 'skipped', 'cancelled'))
"""
_ALL_SETTLED = _NONE_OPEN.format(bounded=BOUNDED)


_MANY_SETTLED: LiteralString = """
SELECT count(*) = cardinality(%(ids)s::uuid[]) FROM executions_steprun s
WHERE s.id = ANY(%(ids)s)
  AND s.status IN ('completed', 'failed', 'timed_out', 'skipped', 'cancelled')
"""


def all_settled(execution_id: UUID, plan: Plan, block: Block) -> bool:
    """
    Tell whether every step of a block is settled.

    Members start in about the order of their places, so looking from the last one
    down finds an unfinished one at once while there is any. Below the top, where
    places are shared by all frames of a body, they are looked up by their ids.
    """
    if not plan.is_top:
        ids = [step_run_id(execution_id, step.path) for step in plan.of_block(block)]
        return bool(fetch(_MANY_SETTLED, {"ids": ids})[0][0])
    params = {
        "execution": execution_id,
        **bounds(execution_id),
        "first": block.ordinals[0],
        "last": block.ordinals[-1],
    }
    return bool(fetch(_ALL_SETTLED, params)[0][0])


def read_further(execution_id: UUID, paths: Iterable[str], known: Situation) -> None:
    if fresh := read(execution_id, paths):
        known.rows |= fresh.rows


def block_before(plan: Plan, block: Block) -> Block | None:
    return plan.blocks[block.index - 1] if block.index else None
