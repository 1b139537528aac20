"""How a step ends that the engine does itself. The execution's row is held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.language import TemplateRenderError
from executions import lifecycle, output
from executions.bodies import Fault
from executions.database import one_transaction
from executions.lifecycle import Claim, NewRun, Outcome
from executions.native.place import Place
from executions.native.upshot import NOTHING, Ending, Upshot
from executions.policy import LONGEST_MESSAGE
from executions.runs import run_of
from executions.states import StepStatus

OPEN = StepStatus.WAITING
CLOCK = "clock"  # the channel of what nobody answered
Unusable = Fault | TemplateRenderError | output.Unstorable


def settle(at: Place, claim: Claim, value: Any) -> Upshot:
    """Record a step's output, unless it cannot be kept: then the step fails."""
    try:
        output.check_storable(value)
    except output.Unstorable as error:
        return fail(at, claim, failure(at, error, "output"))
    try:
        exports = output.exports(at.uuid, at.planned.plan, at.planned, at.known, value)
    except TemplateRenderError as error:
        return fail(at, claim, failure(at, error, "output_mapping"))
    outcome = Outcome(status=StepStatus.COMPLETED, output=value, exports=exports)
    lifecycle.settle(claim, outcome, was=OPEN)
    return Upshot(ending=Ending.SETTLED)


def fail(
    at: Place,
    claim: Claim,
    error: Mapping[str, Any],
    *,
    status: StepStatus = StepStatus.FAILED,
) -> Upshot:
    """Record a failure, and end the step's frame with it if it is fatal."""
    outcome = Outcome(status=status, error={"attempt": claim.attempt, **error})
    if at.planned.step.on_error == "fail":
        lifecycle.settle_and_fail(claim, outcome, was=OPEN)
        return Upshot(ending=Ending.FATAL)
    lifecycle.settle(claim, outcome, was=OPEN)
    return Upshot(ending=Ending.SETTLED)


def skip(run: NewRun) -> Upshot:
    """Settle a step that is not to run."""
    return Upshot(ending=Ending.SETTLED) if lifecycle.skip(run) else NOTHING


def refuse(at: Place, error: Unusable) -> Upshot:
    """Fail a step that cannot even begin."""
    with one_transaction():
        claim = lifecycle.begin_waiting(run_of(at.address, at.planned))
        return NOTHING if claim is None else fail(at, claim, failure(at, error))


def failure(at: Place, error: Unusable, where: str = "config") -> dict[str, Any]:
    """Say what was wrong, and where."""
    kind = "template_error" if isinstance(error, TemplateRenderError) else error.type
    message = f"In {where} of step {at.planned.step.key!r}: {error}"
    return {"type": kind, "message": message[:LONGEST_MESSAGE]}
