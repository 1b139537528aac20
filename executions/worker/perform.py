"""
Do a claimed step, and say what it came to.

Knows no queue, and leaves the recording of an outcome to its callers: only what ends
an attempt from outside records it here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from core_orchestration.language import TemplateRenderError
from executions import lifecycle, output, policy
from executions.lifecycle import Claim, Outcome
from executions.plan import Plan, PlannedStep
from executions.policy import Failure, GiveUp, Retry
from executions.situation import Situation
from executions.states import StepStatus
from executions.worker import running
from executions.worker.attempts import AttemptStopped, AttemptTimedOut
from executions.worker.patience import insist
from executions.worker.prepare import role_of, unresolved
from executions.worker.running import step_log
from roles.runners import Result, RoleSpec, RunnerError
from roles.runners.hosting import Parked

Run = Callable[[Claim, PlannedStep, RoleSpec], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    What an attempt came to: an outcome to record, and what policy makes of it.

    One that is `parked` has no outcome yet: its step waits, and begins again.
    """

    outcome: Outcome
    verdict: Retry | GiveUp | None = None  # None for success
    parked: Parked | None = None

    @property
    def is_fatal(self) -> bool:
        return isinstance(self.verdict, GiveUp) and self.verdict.fatal


def refuse(claim: Claim, planned: PlannedStep, failure: Failure) -> Ended:
    """Turn a failure that no attempt can mend into the step's end."""
    return _failed(claim, planned, failure)


def broken(claim: Claim, planned: PlannedStep, error: Exception) -> Ended:
    """Turn a fault of the engine itself into the step's end: nothing stays open."""
    failure = Failure(
        type="internal_error",
        message=f"The step's end could not be recorded: {type(error).__name__}: {error}",
        retryable=False,
    )
    return _failed(claim, planned, failure)


def run(claim: Claim, planned: PlannedStep, role: RoleSpec) -> Result:
    """Run the attempt here and now."""
    return running.run(claim, planned, role, on_overdue=partial(end_overdue, planned))


def work(
    claim: Claim,
    plan: Plan,
    planned: PlannedStep,
    known: Situation,
    *,
    run: Run = run,
) -> Ended | None:
    """
    Do the step; None when it was stopped, so that nothing is to be recorded.

    `run` gives the result of the attempt, or raises what it came to.
    """
    if claim.left_s <= 0:
        return _out_of_time(claim, planned)
    role = role_of(planned, known)
    try:
        result = run(claim, planned, role)
        output.check_storable(result.output)
        return _succeeded(claim, plan, planned, known, result)
    except AttemptStopped:
        insist(lambda: lifecycle.let_go(claim))
        return None
    except AttemptTimedOut:
        return _out_of_time(claim, planned)
    except Parked as parked:
        return Ended(outcome=Outcome(status=StepStatus.WAITING), parked=parked)
    except Exception as error:  # noqa: BLE001  (whatever a function raises is its failure)
        return _failed(claim, planned, _failure_of(error, planned))


def _failure_of(error: Exception, planned: PlannedStep) -> Failure:
    match error:
        case RunnerError():
            return Failure(
                type=error.type,
                message=error.message,
                retryable=error.retryable,
                retry_after_s=error.retry_after_s,
            )
        case output.Unstorable():
            return Failure(type=error.type, message=str(error), retryable=False)
        case TemplateRenderError():
            return unresolved(error, planned, "output_mapping")
    step_log.info("Step %s raised", planned.path, exc_info=error)
    message = f"{type(error).__name__}: {error}"
    return Failure(type="exception", message=message, retryable=True)


def _out_of_time(claim: Claim, planned: PlannedStep) -> Ended | None:
    if claim.limit == "execution":
        return None  # the reconciler ends the execution, and this step with it
    return _failed(claim, planned, _timed_out(claim, planned))


def end_overdue(planned: PlannedStep, claim: Claim) -> None:
    """
    Record a time-out for an attempt that does not end by itself.

    Called from outside of the attempt, so the reconciler is asked to go on.
    """
    ended = _out_of_time(claim, planned)
    if ended is None:
        lifecycle.give_back(claim)
        return
    match ended.verdict:
        case Retry(delay_s=delay_s):
            lifecycle.schedule_retry(claim, ended.outcome, delay_s=delay_s, timer=True)
        case GiveUp(fatal=True):
            lifecycle.settle_and_fail(claim, ended.outcome)
        case _:
            lifecycle.settle(claim, ended.outcome, wake=True)


def _succeeded(
    claim: Claim,
    plan: Plan,
    planned: PlannedStep,
    known: Situation,
    result: Result,
) -> Ended:
    exports = insist(
        lambda: output.exports(
            claim.run.execution_id, plan, planned, known, result.output
        )
    )
    usage = dict(result.usage) if result.usage else None
    return Ended(
        outcome=Outcome(
            status=StepStatus.COMPLETED,
            output=result.output,
            exports=exports,
            usage=usage,
        )
    )


def _failed(claim: Claim, planned: PlannedStep, failure: Failure) -> Ended:
    chance = random.random()  # noqa: S311  (spreads retries, hides nothing)
    verdict = policy.decide(
        planned.step,
        failure,
        tries=claim.tries,
        chance=chance,
        fits=claim.retry_fits,
    )
    status = verdict.status if isinstance(verdict, GiveUp) else StepStatus.FAILED
    error = failure.as_error(claim.attempt)
    return Ended(outcome=Outcome(status=status, error=error), verdict=verdict)


def _timed_out(claim: Claim, planned: PlannedStep) -> Failure:
    step = planned.step
    message = f"The attempt did not end within {step.timeout_ms} ms."
    if claim.limit == "step":
        message = f"All attempts did not end within {step.total_timeout_ms} ms."
    return Failure(type="timed_out", message=message, retryable=True, timed_out=True)
