"""`stop` and `break`: steps that end more than themselves."""

from __future__ import annotations

from executions import lifecycle, output
from executions.database import one_transaction
from executions.lifecycle import Claim, Outcome
from executions.native.ending import OPEN, settle
from executions.native.place import Place
from executions.native.upshot import NOTHING, Ending, Upshot
from executions.plan import Plan
from executions.runs import run_of
from executions.states import StepStatus


def stop(at: Place) -> Upshot:
    """
    End the execution, and cut whatever else is under way.

    After a failure it ends what is done after that; the execution has its end already.
    """
    if at.known.unwinding:
        return _stop_unwinding(at)
    config, templates = at.planned.step.config, at.planned.compiled.templates
    message = at.render("message") if "message" in templates else None
    failed = config.get("status", "completed") == "failed"
    result = None if failed else _result(at)
    with one_transaction():
        claim = lifecycle.begin_waiting(run_of(at.address, at.planned))
        if claim is None:
            return NOTHING
        if failed:
            _fail(at, claim, message)
        else:
            settle(at, claim, {"message": message} if message is not None else None)
            lifecycle.complete(at.uuid, epoch=at.address.epoch, output=result)
    return Upshot(ending=Ending.OVER)


def _stop_unwinding(at: Place) -> Upshot:
    beside = next(plan for plan in at.planned.plan.outwards() if plan.is_beside)
    with one_transaction():
        claim = lifecycle.begin_waiting(run_of(at.address, at.planned))
        if claim is None:
            return NOTHING
        settle(at, claim, None)
        lifecycle.break_frame(claim.run, beside.frame, output=None)
    return Upshot(ending=Ending.LEFT, left=beside.frame)


def _result(at: Place) -> object:
    if "output" in at.planned.compiled.templates:
        return at.render("output")
    return output.render(at.uuid, at.planned.plan.top, at.known)


def _fail(at: Place, claim: Claim, message: object) -> None:
    error = {
        "type": "stopped",
        "message": str(message or f"The step {at.planned.step.key!r} ended it."),
        "attempt": claim.attempt,
    }
    outcome = Outcome(status=StepStatus.FAILED, error=error)
    lifecycle.settle(claim, outcome, was=OPEN)
    reason = {"step_key": at.planned.step.key, **error}
    lifecycle.fail(at.uuid, epoch=at.address.epoch, error=reason)


def end_loop(at: Place) -> Upshot:
    """End the loop around, with what the turn had come to before this step."""
    plan, planned = at.planned.plan, at.planned
    turn = turn_around(plan)
    result = at.output_before()
    with one_transaction():
        claim = lifecycle.begin_waiting(run_of(at.address, planned))
        if claim is None:
            return NOTHING
        settle(at, claim, result)
        lifecycle.break_frame(claim.run, turn.frame, output=result)
    return Upshot(ending=Ending.LEFT, left=turn.frame)


def turn_around(plan: Plan) -> Plan:
    """Find the turn of the innermost loop; LookupError where there is none."""
    for each in plan.outwards():
        if not each.is_top and each.container.step.step_type == "loop":
            return each
    raise LookupError("A break stands in a loop.")
