"""
Make a step ready to run: whether it runs at all, and on what input.

Reads what was known when the step's turn came and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from core_orchestration.language import TemplateRenderError
from executions import pinned, situation
from executions.lifecycle import NewRun
from executions.plan import Plan, PlannedStep, scope_of
from executions.policy import Failure
from executions.runs import run_of
from executions.signatures import Address
from executions.situation import Situation
from executions.worker.leases import this_worker
from roles.runners import RoleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A step that is about to start: to run, to be skipped, or refused."""

    run: NewRun
    skip: bool = False
    refusal: Failure | None = None


def prepare(
    address: Address, plan: Plan, planned: PlannedStep, known: Situation
) -> Prepared:
    """Evaluate the condition and render the input from what is known."""
    execution_id = UUID(address.execution)
    role_name = role_of(planned, known).name
    worker = this_worker().identity()
    run = run_of(address, planned, role_name=role_name, worker=worker)
    field = "condition"
    try:
        output = None
        if planned.before.previous_output:
            output = situation.previous_output(execution_id, plan, planned.block, known)
        context = known.context(plan, planned.before)
        first = plan.is_top and planned.block.index == 0
        scope = scope_of(context, output, first=first)
        if planned.condition is not None and not planned.condition.holds(scope):
            return Prepared(run=run, skip=True)
        field = "input_mapping"
        given = output if planned.input is None else planned.input.render(scope)
    except TemplateRenderError as error:
        return Prepared(run=run, refusal=unresolved(error, planned, field))
    return Prepared(run=replace(run, input=given))


def role_of(planned: PlannedStep, known: Situation) -> RoleSpec:
    """Return the role that the execution pinned for a step."""
    return pinned.role(known.role_pins[planned.role])


def unresolved(error: TemplateRenderError, planned: PlannedStep, field: str) -> Failure:
    return Failure(
        type="template_error",
        message=f"In {field} of step {planned.step.key!r}: {error}",
        retryable=False,
    )
