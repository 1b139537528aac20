"""How an `approval` ends: with an answer, or by the clock. Agents' questions, too."""

from __future__ import annotations

from typing import Any

from executions import lifecycle
from executions.lifecycle import Claim, Verdict
from executions.native import parking
from executions.native.ending import CLOCK, OPEN, fail, settle
from executions.native.place import Place, place
from executions.native.upshot import Upshot
from executions.plan import PlannedStep
from executions.policy import LONGEST_MESSAGE
from executions.runs import run_of
from executions.signatures import Address
from executions.states import StepStatus


def take(address: Address, planned: PlannedStep, verdict: Verdict) -> Upshot | None:
    """
    Record an answer, and the step's end; None if it comes too late.

    The caller's transaction holds the execution's row since before it read `address`,
    so that nobody moves the execution meanwhile. A paused one goes on later.
    """
    claim = lifecycle.hold(run_of(address, planned), was=OPEN)
    if claim is None:
        lifecycle.withdraw(verdict.approval)
        return None
    at = place(address, planned, paused_too=True)
    if at is None or not lifecycle.decide(verdict):
        return None
    lifecycle.rouse(at.uuid)
    if planned.step.has_role:
        return parking.take(at, claim, verdict)
    return conclude(at, claim, verdict)


def conclude(at: Place, claim: Claim, verdict: Verdict) -> Upshot:
    """End a step whose question is decided."""
    approved, config = verdict.decision == "approved", at.planned.step.config
    said = {"approved": approved, "by": verdict.name, "comment": verdict.comment}
    told = {
        "approval_id": str(verdict.approval),
        "decision": verdict.decision,
        "channel": verdict.channel,
    }
    lifecycle.tell(claim.run, "answered", {**said, **told})
    if verdict.decision == "expired":
        return fail(at, claim, _expired(), status=StepStatus.TIMED_OUT)
    if approved:
        filled_in = config.get("form") is not None and verdict.channel != CLOCK
        return settle(at, claim, verdict.answer if filled_in else said)
    if config.get("on_reject") == "continue":
        return settle(at, claim, said)
    return fail(at, claim, _rejected(verdict))


def _expired() -> dict[str, Any]:
    return {"type": "timed_out", "message": "Nobody answered within timeout_ms."}


def _rejected(verdict: Verdict) -> dict[str, Any]:
    if verdict.channel == CLOCK:
        message = "Nobody answered within timeout_ms, which counts as a rejection."
    else:
        because = f": {verdict.comment}" if verdict.comment else "."
        message = f"{verdict.name or 'Somebody'} rejected it{because}"
    return {"type": "rejected", "message": message[:LONGEST_MESSAGE]}
