"""A step that needs attention: a person says what became of it."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from core_orchestration.language import TemplateRenderError
from core_orchestration.validation import storable_problems
from executions import lifecycle, pinned, resumption, situation, trail
from executions import output as templates
from executions.announce import announce
from executions.control import Refused
from executions.database import one_transaction
from executions.lifecycle import Claim, Outcome, Request
from executions.models import StepRun
from executions.paths import frame_of
from executions.plan import Plan, PlannedStep
from executions.runs import run_of
from executions.signatures import Address
from executions.situation import Situation
from executions.states import StepStatus
from roles.runners import RunnerError, schemas
from roles.schemas.values import same

_ASIDE = StepStatus.NEEDS_ATTENTION

Action = Literal["complete", "fail", "run_again"]


def settle_step(
    execution_id: UUID,
    path: str,
    *,
    by: str | None,
    action: Action,
    output: Any = None,
    reason: str | None = None,
) -> bool:
    """
    Decide about the step at `path` that needs attention, and go on.

    It is taken as completed with `output`, or as failed for `reason`, or it runs
    again. False when somebody has decided so before. Raises Refused when it does not
    need attention, or `output` cannot be its output.
    """
    address = resumption.address_of(execution_id).at(frame_of(path))
    planned = _step_at(address, path)
    plan = planned.plan
    known = situation.read_all(execution_id, plan)
    if known is None:
        raise Refused("There is no such execution.", code="unknown_execution")
    request = Request(by=by, reason=reason)
    with one_transaction():
        claim = lifecycle.hold(run_of(address, planned), was=_ASIDE)
        if claim is not None:
            lifecycle.stir(execution_id, request, path=path, action=action)
            match action:
                case "complete":
                    _complete(claim, plan, planned, known, output)
                case "fail":
                    _fail(claim, planned, request)
                case "run_again":
                    lifecycle.reset_step(execution_id, path, request)
            _note(execution_id, path, action, output, reason)
    if claim is None:
        _check_settled_so(execution_id, path, action, output)
        return False
    resumption.go_on(execution_id)
    announce(execution_id)
    return True


def _note(
    execution_id: UUID, path: str, action: Action, output: Any, reason: str | None
) -> None:
    settled = {"settled": action, **({"output": output} if output is not None else {})}
    trail.note(
        "settle",
        execution_id,
        before={path: {"status": _ASIDE.value}},
        after={path: settled},
        detail=reason or "",
    )


def _step_at(address: Address, path: str) -> PlannedStep:
    try:
        return pinned.plan_of(address).by_path[path]
    except LookupError as error:
        raise Refused(
            f"The execution has no step {path!r}.", code="unknown_step"
        ) from error


def _complete(
    claim: Claim, plan: Plan, planned: PlannedStep, known: Situation, value: Any
) -> None:
    problems = storable_problems(value)
    if problems:
        raise Refused(
            f"The output cannot be stored: {problems[0].detail}", code="bad_output"
        )
    execution_id = claim.run.execution_id
    try:
        schemas.check_output(pinned.role(known.role_pins[planned.role]), value)
        exports = templates.exports(execution_id, plan, planned, known, value)
    except RunnerError as error:
        raise Refused(error.message, code="bad_output") from error
    except TemplateRenderError as error:
        raise Refused(f"In output_mapping: {error}", code="bad_output") from error
    outcome = Outcome(status=StepStatus.COMPLETED, output=value, exports=exports)
    lifecycle.settle(claim, outcome, was=_ASIDE)


def _fail(claim: Claim, planned: PlannedStep, request: Request) -> None:
    error = {
        "type": "failed_by_hand",
        "message": request.reason or f"{request.by or 'Somebody'} settled it so.",
        "attempt": claim.attempt,
    }
    outcome = Outcome(status=StepStatus.FAILED, error=error)
    if planned.step.on_error == "fail":
        lifecycle.settle_and_fail(claim, outcome, was=_ASIDE)
    else:
        lifecycle.settle(claim, outcome, was=_ASIDE)


# What a step is when it was settled just so before.
_SETTLED_SO = {
    "complete": (StepStatus.COMPLETED,),
    "fail": (StepStatus.FAILED,),
    "run_again": (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.RETRYING),
}


def _check_settled_so(
    execution_id: UUID, path: str, action: Action, output: Any
) -> None:
    run = StepRun.objects.filter(execution_id=execution_id, path=path).first()
    settled_so = run is not None and run.status in _SETTLED_SO[action]
    if action == "run_again" and run is not None:
        settled_so = settled_so and run.spent > 0
    if action == "complete" and run is not None:
        settled_so = settled_so and same(run.output, output)
    if not settled_so:
        state = run.status if run else "not begun"
        raise Refused(
            f"The step {path!r} is {state} and does not need attention.",
            code="needs_no_attention",
        )
