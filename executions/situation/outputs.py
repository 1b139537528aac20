"""What `output` means before a step, and whether its turn has come."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core_orchestration.definition import Block
from executions.plan import Plan, PlannedStep
from executions.situation.known import Situation
from executions.situation.reading import block_before, read_further
from executions.states import StepStatus


def is_ready(plan: Plan, planned: PlannedStep, known: Situation) -> bool:
    """
    Tell whether everything before the step's block is settled.

    The cursor says so for blocks that a canvas began with; within a chain the one
    step before does.
    """
    previous = block_before(plan, planned.block)
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
    previous = block_before(plan, block)
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
        read_further(execution_id, {plan.frame}, known)
    given = known.rows[plan.frame].given
    if "output" in given:
        return given["output"]
    if "item" in given:
        return given["item"]
    if given.get("loop", {}).get("index"):
        return given["loop"]["last"]
    block = plan.container.block
    return previous_output(execution_id, plan.outer, block, known)


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
            read_further(execution_id, missing, known)
        ran, output = block_output(members, known)
        if ran:
            return output
        at = block_before(plan, at)
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
