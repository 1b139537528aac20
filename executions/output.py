"""What output templates make of the context: an execution's, and a step's exports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core_orchestration.language import TemplateRenderError
from executions import lifecycle, situation
from executions.plan import Plan, PlannedStep, scope_of
from executions.situation import Situation


def render(execution_id: UUID, plan: Plan, known: Situation) -> Any:
    """
    Render the orchestration's output; None without a template.

    Raises TemplateRenderError when a path does not resolve.
    """
    if plan.output is None:
        return None
    situation.read_more(execution_id, plan, plan.output_needs, known)
    output = None
    if plan.output_needs.previous_output:
        output = situation.output_after(execution_id, plan, plan.blocks[-1], known)
    context = known.context(plan, plan.output_needs)
    return plan.output.render(scope_of(context, output, first=False))


def exports(
    execution_id: UUID, plan: Plan, planned: PlannedStep, known: Situation, value: Any
) -> dict[str, Any] | None:
    """
    Render what a step's output mapping makes of its output; None without one.

    Raises TemplateRenderError when a path does not resolve.
    """
    if not planned.exports:
        return None
    situation.read_more(execution_id, plan, planned.after, known)
    context = known.context(plan, planned.after) | {planned.step.key: value}
    scope = {"context": context, "output": value}
    return {name: template.render(scope) for name, template in planned.exports.items()}


def refuse(execution_id: UUID, epoch: int, error: TemplateRenderError) -> None:
    """End an execution whose output cannot be rendered."""
    problem = {
        "step_key": None,
        "type": "template_error",
        "message": f"In the orchestration's output: {error}",
        "attempt": None,
    }
    lifecycle.fail(execution_id, epoch=epoch, error=problem)
