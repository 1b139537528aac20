"""
What a worker must know before it starts a step, read in one statement.

That is the state of the execution, and the finished steps that the step's templates
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from core_orchestration.definition import Block
from executions.committer import fetch, share
from executions.database import decoded
from executions.identity import step_run_id
from executions.lifecycle import Outcome
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.plan import Needs, Plan, PlannedStep
from executions.states import TERMINAL_STEP, StepStatus


@dataclass(frozen=True, slots=True)
class Row:
    """What a step run contributes to the context."""

    status: StepStatus
    output: Any
    exports: Mapping[str, Any] | None
    error: Mapping[str, Any] | None

    @property
    def is_settled(self) -> bool:
        return self.status in TERMINAL_STEP


@dataclass(slots=True)
class Situation:
    """An execution as one worker knows it; outcomes that it records are added."""

    status: str
    cancelling: bool
    epoch: int
    cursor: int
    role_pins: Mapping[str, str]
    input: Any
    rows: dict[str, Row]

    @property
    def goes_on(self) -> bool:
        """Tell whether steps may begin."""
        return self.status in ("pending", "running", "waiting") and not self.cancelling

    @property
    def settled(self) -> set[str]:
        """The paths of the steps that are settled."""
        return {path for path, row in self.rows.items() if row.is_settled}

    def is_current(self, epoch: int) -> bool:
        """Tell whether messages of this epoch still count."""
        return self.goes_on and self.epoch == epoch

    def remember(self, path: str, outcome: Outcome) -> None:
        """Add what a step came to."""
        self.rows[path] = Row(
            outcome.status, outcome.output, outcome.exports, outcome.error
        )

    def knows(self, needs: Needs) -> bool:
        """Tell whether everything that `needs` names has been read."""
        return not needs.errors and needs.paths <= self.rows.keys()

    def context(self, plan: Plan, needs: Needs) -> dict[str, Any]:
        """Build the part of `context` that `needs` names from the rows at hand."""
        return self._context(plan, self.rows if needs.errors else needs.paths)

    def whole_context(self, plan: Plan) -> dict[str, Any]:
        """Build `context` from every row at hand."""
        return self._context(plan, self.rows)

    def _context(self, plan: Plan, paths: Iterable[str]) -> dict[str, Any]:
        context: dict[str, Any] = {"input": self.input}
        errors = {}
        exported: dict[str, Any] = {}
        known = [path for path in paths if path in self.rows]
        for path in sorted(known, key=lambda path: plan.by_path[path].ordinal):
            row = self.rows[path]
            if row.is_settled:
                context[path] = row.output
                exported |= row.exports or {}
                if row.error and row.status != StepStatus.CANCELLED:
                    errors[path] = row.error
        return context | exported | {"errors": errors}


_READ: LiteralString = """
SELECT e.status, e.cancel_request IS NOT NULL, e.epoch, e.cursor, e.role_pins, e.input,
  (SELECT json_agg(json_build_array(s.path, s.status, s.output, s.exports, s.error))
   FROM executions_steprun s WHERE {which} AND {bounded})
FROM executions_execution e WHERE e.id = %(execution)s
"""
_READ_NAMED = _READ.format(which="s.id = ANY(%(ids)s)", bounded=BOUNDED)
_READ_ALL = _READ.format(which="s.execution_id = e.id", bounded=BOUNDED)
share("reading", _READ_NAMED, _READ_ALL)


def read(execution_id: UUID, paths: Iterable[str]) -> Situation | None:
    """Read an execution and the runs at `paths`; None for an unknown execution."""
    ids = [step_run_id(execution_id, path) for path in paths]
    return _read(_READ_NAMED, execution_id, {"ids": ids})


def read_all(execution_id: UUID) -> Situation | None:
    """Read an execution and all of its step runs."""
    return _read(_READ_ALL, execution_id, {})


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
    rows: Any,
) -> Situation:
    return Situation(
        status=status,
        cancelling=cancelling,
        epoch=epoch,
        cursor=cursor,
        role_pins=decoded(pins),
        input=decoded(given),
        rows={
            path: Row(StepStatus(state), output, exports, error)
            for path, state, output, exports, error in decoded(rows) or ()
        },
    )


_READ_SOME: LiteralString = """
SELECT e.id, e.status, e.cancel_request IS NOT NULL, e.epoch, e.cursor, e.role_pins,
  e.input,
  (SELECT json_agg(json_build_array(s.path, s.status, s.output, s.exports, s.error))
   FROM executions_steprun s
   WHERE s.execution_id = e.id AND s.path = ANY(%(paths)s) AND {bounded})
FROM executions_execution e WHERE e.id = ANY(%(executions)s)
"""
_READ_EACH = _READ_SOME.format(bounded=BOUNDED)


def read_each(
    executions: Sequence[UUID], plan: Plan, planned: PlannedStep
) -> dict[UUID, Situation]:
    """Read what deciding about one step of several executions takes."""
    paths = sorted(_decisive(plan, planned))
    params = {"executions": list(executions), "paths": paths}
    rows = fetch(_READ_EACH, params | bounds(*executions))
    return {execution: _situation(*row) for execution, *row in rows}


def read_before(
    execution_id: UUID, plan: Plan, *steps: PlannedStep
) -> Situation | None:
    """
    Read what deciding about steps of one block takes.

    That is themselves, what comes before them, and what their templates name.
    """
    return read(execution_id, _decisive(plan, *steps))


def _decisive(plan: Plan, *steps: PlannedStep) -> set[str]:
    paths = {
        path for step in steps for path in (step.path, *_readable(plan, step.before))
    }
    previous = _block_before(plan, steps[0].block)
    looks_back = any(step.before.previous_output for step in steps)
    if previous and (looks_back or not previous.is_group):
        paths |= {other.path for other in plan.of_block(previous)}
    return paths


def read_more(execution_id: UUID, plan: Plan, needs: Needs, known: Situation) -> None:
    """Add what `needs` names and `known` lacks."""
    missing = _readable(plan, needs) - known.rows.keys()
    if missing and (fresh := read(execution_id, missing)):
        known.rows |= fresh.rows


def _readable(plan: Plan, needs: Needs) -> set[str]:
    """List the paths to read; `context.errors` may name any step."""
    if needs.errors:
        return set(plan.by_path)
    return {path for path in needs.paths if path in plan.by_path}


def is_ready(plan: Plan, planned: PlannedStep, known: Situation) -> bool:
    """
    Tell whether everything before the step's block is settled.

    The cursor says so for blocks that a canvas began with; within a chain the one
    step before does.
    """
    previous = _block_before(plan, planned.block)
    if previous is None or known.cursor >= planned.block.index:
        return True
    if previous.is_group:
        return False
    row = known.rows.get(plan.of_block(previous)[0].path)
    return row is not None and row.is_settled


def previous_output(
    execution_id: UUID, plan: Plan, block: Block, known: Situation
) -> Any:
    """Return what `output` means before `block`: the input before the first."""
    previous = _block_before(plan, block)
    return (
        output_after(execution_id, plan, previous, known) if previous else (known.input)
    )


def output_after(execution_id: UUID, plan: Plan, block: Block, known: Situation) -> Any:
    """
    Return what `output` means after `block`, reading further back if need be.

    A skipped step leaves it as it was, and so does a group skipped as a whole; if
    nothing ran at all it is the execution's input.
    """
    at: Block | None = block
    while at is not None:
        members = plan.of_block(at)
        missing = {m.path for m in members} - known.rows.keys()
        if missing and (fresh := read(execution_id, missing)):
            known.rows |= fresh.rows
        ran, output = block_output(members, known)
        if ran:
            return output
        at = _block_before(plan, at)
    return known.input


def block_output(
    members: tuple[PlannedStep, ...], known: Situation
) -> tuple[bool, Any]:
    """Tell whether any of a block's steps ran, and what the block's output is."""
    rows = {m.path: known.rows.get(m.path) for m in members}
    ran = any(row and row.status != StepStatus.SKIPPED for row in rows.values())
    outputs = {path: row.output if row else None for path, row in rows.items()}
    if members[0].block.is_group:
        return ran, outputs
    return ran, outputs[members[0].path]


def _block_before(plan: Plan, block: Block) -> Block | None:
    return plan.blocks[block.index - 1] if block.index else None


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


def all_settled(execution_id: UUID, block: Block) -> bool:
    """
    Tell whether every step of a block is settled.

    Members start in about the order of their places, so looking from the last one
    down finds an unfinished one at once while there is any.
    """
    params = {
        "execution": execution_id,
        **bounds(execution_id),
        "first": block.ordinals[0],
        "last": block.ordinals[-1],
    }
    return bool(fetch(_ALL_SETTLED, params)[0][0])
