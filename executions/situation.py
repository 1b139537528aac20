"""
What a worker must know before it starts a step, read in one statement.

That is the state of the execution, and the finished steps that the step's templates
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString
from uuid import UUID

from core_orchestration.definition import Block
from executions.committer import fetch, share
from executions.database import decoded
from executions.identity import step_run_id
from executions.lifecycle import Outcome
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.paths import TOP
from executions.plan import Needs, Plan, PlannedStep
from executions.states import TERMINAL_STEP, StepStatus


@dataclass(frozen=True, slots=True)
class Row:
    """
    What a step run contributes to the context.

    A frame's has a cursor, and gives values of its own.
    """

    status: StepStatus
    output: Any
    exports: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    given: Any = None
    cursor: int | None = None

    @property
    def is_settled(self) -> bool:
        return self.status in TERMINAL_STEP


@dataclass(slots=True)
class Situation:
    """
    An execution as one worker knows it; outcomes that it records are added.

    Below the top it is about the frame at the path `frame`.
    """

    status: str
    cancelling: bool
    epoch: int
    cursor: int
    role_pins: Mapping[str, str]
    input: Any
    rows: dict[str, Row]
    awaited: bool = False  # by the execution that started it
    unwinding: bool = False  # only what is done after a failure goes on
    frame: str = TOP

    @property
    def goes_on(self) -> bool:
        """Tell whether steps may begin."""
        alive = self.status in ("pending", "running", "waiting")
        if self.unwinding and not self.frame.startswith("@"):
            return False
        return alive and not self.cancelling and self._frame_is_open

    @property
    def _frame_is_open(self) -> bool:
        if not self.frame:
            return True
        row = self.rows.get(self.frame)
        return row is not None and row.status == StepStatus.WAITING

    def within(self, frame: str) -> Situation:
        """See the same from a frame whose row has been read, if there is one."""
        row = self.rows.get(frame)
        cursor = row.cursor if row and row.cursor is not None else 0
        return replace(self, frame=frame, cursor=cursor)

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
        if plan.is_beside and plan.outer is not None:
            context |= dict.fromkeys(
                plan.outer.body.makers
            )  # it may not have come to be
        errors = {}
        exported: dict[str, Any] = {}
        for path, planned in plan.inwards(
            [path for path in paths if path in self.rows]
        ):
            row = self.rows[path]
            if planned is None:
                context |= _given_to_all(row)
            elif row.is_settled:
                context[planned.step.key] = row.output
                exported |= row.exports or {}
                if row.error and row.status != StepStatus.CANCELLED:
                    errors[planned.step.key] = row.error
        return context | exported | {"errors": errors}


def _given_to_all(frame: Row) -> dict[str, Any]:
    """Return what a frame gives to all of its steps by name: the item, the turn."""
    return {name: value for name, value in frame.given.items() if name != "output"}


_RUNS: LiteralString = """
  (SELECT json_agg(json_build_array(s.path, s.status, s.output, s.exports, s.error,
     CASE WHEN s.cursor IS NOT NULL THEN s.input END, s.cursor))
   FROM executions_steprun s WHERE {which} AND {bounded})
"""
_READ: LiteralString = """
SELECT e.status, e.cancel_request IS NOT NULL, e.epoch, e.cursor, e.role_pins, e.input,
  e.awaited IS true, e.unwinding IS NOT NULL, {runs}
FROM executions_execution e WHERE e.id = %(execution)s
"""
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
SELECT e.id, e.status, e.cancel_request IS NOT NULL, e.epoch, e.cursor, e.role_pins,
  e.input, e.awaited IS true, {runs}
FROM executions_execution e WHERE e.id = ANY(%(executions)s)
"""
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
    previous = _block_before(plan, steps[0].block)
    looks_back = any(step.before.previous_output for step in steps)
    if previous and (looks_back or not previous.is_group):
        paths |= {other.path for other in plan.of_block(previous)}
    return paths


def read_more(execution_id: UUID, plan: Plan, needs: Needs, known: Situation) -> None:
    """Add what `needs` names and `known` lacks."""
    if missing := _readable(plan, needs) - known.rows.keys():
        _read_further(execution_id, missing, known)


def _readable(plan: Plan, needs: Needs) -> set[str]:
    """List the paths to read; `context.errors` may name any step."""
    if needs.errors:
        return {*needs.paths, *(path for at in plan.outwards() for path in at.by_path)}
    return set(needs.paths)


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
    """Return what `output` means before `block`: before the first, the beginning."""
    previous = _block_before(plan, block)
    if previous is None:
        return _beginning(execution_id, plan, known)
    return output_after(execution_id, plan, previous, known)


def _beginning(execution_id: UUID, plan: Plan, known: Situation) -> Any:
    """
    Return what the steps of a plan begin with: at the top, the execution's input.

    A frame is given it, or it is what came before its container.
    """
    if plan.outer is None:
        return known.input
    if plan.frame not in known.rows:
        _read_further(execution_id, {plan.frame}, known)
    given = known.rows[plan.frame].given
    if "output" in given:
        return given["output"]
    if "item" in given:
        return given["item"]
    if given.get("loop", {}).get("index"):
        return given["loop"]["last"]
    block = plan.container.block
    return previous_output(execution_id, plan.outer, block, known)


def _read_further(execution_id: UUID, paths: Iterable[str], known: Situation) -> None:
    if fresh := read(execution_id, paths):
        known.rows |= fresh.rows


def output_after(execution_id: UUID, plan: Plan, block: Block, known: Situation) -> Any:
    """
    Return what `output` means after `block`, reading further back if need be.

    A skipped step leaves it as it was, and so does a group skipped as a whole; if
    nothing ran at all it is what the steps began with.
    """
    at: Block | None = block
    while at is not None:
        members = plan.of_block(at)
        if missing := {m.path for m in members} - known.rows.keys():
            _read_further(execution_id, missing, known)
        ran, output = block_output(members, known)
        if ran:
            return output
        at = _block_before(plan, at)
    return _beginning(execution_id, plan, known)


def block_output(
    members: tuple[PlannedStep, ...], known: Situation
) -> tuple[bool, Any]:
    """Tell whether any of a block's steps ran, and what the block's output is."""
    rows = [(m, known.rows.get(m.path)) for m in members]
    ran = any(row and row.status != StepStatus.SKIPPED for _, row in rows)
    outputs = {m.step.key: row.output if row else None for m, row in rows}
    if members[0].block.is_group:
        return ran, outputs
    return ran, outputs[members[0].step.key]


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
