"""What output templates make of the context: an execution's, and a step's exports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from core_orchestration.language import TemplateRenderError
from core_orchestration.validation import storable_problems
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


def of_context(execution_id: UUID, plan: Plan) -> dict[str, Any]:
    """Return what an execution without an output template came to: its context."""
    known = situation.read_all(execution_id, plan)
    return from_context(known.whole_context(plan)) if known else {}


def from_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what went in, and errors where there were none."""
    output = {key: value for key, value in context.items() if key != "input"}
    if not output["errors"]:
        del output["errors"]
    return output


class Unstorable(ValueError):
    """An output cannot be kept; the message says why, `type` what kind of fault."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


def check_storable(value: Any) -> None:
    """Raise Unstorable for an output that is no JSON, or too large."""
    if problems := storable_problems(value):
        first = problems[0]
        raise Unstorable(
            "not_json",
            f"The output cannot be stored as JSON: {first.detail} (at "
            f"{first.pointer or 'the top'})",
        )
    size = len(json.dumps(value, ensure_ascii=False))
    if size > settings.CORE_MAX_OUTPUT_BYTES:
        raise Unstorable(
            "output_too_large",
            f"The output has {size} characters; CORE_MAX_OUTPUT_BYTES allows "
            f"{settings.CORE_MAX_OUTPUT_BYTES}.",
        )


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
    scope = scope_of(context, value, first=False)
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
