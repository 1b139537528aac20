"""Steps of roles that are parked: their time comes, or a person's answer."""

from __future__ import annotations

from executions import lifecycle
from executions.lifecycle import Claim, Verdict
from executions.native.ending import CLOCK
from executions.native.place import Place
from executions.native.upshot import NOTHING, Upshot


def wake(at: Place, claim: Claim) -> Upshot:
    """Let a step begin again whose time has come; an open question is answered by no."""
    asked = lifecycle.open_question(claim.run)
    if asked is None:
        lifecycle.unpark(claim.run, more={})
        return NOTHING
    verdict = Verdict(approval=asked.id, decision="expired", channel=CLOCK)
    return take(at, claim, verdict) if lifecycle.decide(verdict) else NOTHING


def take(at: Place, claim: Claim, verdict: Verdict) -> Upshot:
    """Let a step begin again with an answer that is decided, for each call it is about."""
    told = {
        "approval_id": str(verdict.approval),
        "decision": verdict.decision,
        "channel": verdict.channel,
        "by": verdict.name,
        "comment": verdict.comment,
    }
    lifecycle.tell(claim.run, "answered", told)
    state = lifecycle.recall(claim.run) or {}
    approved = verdict.decision == "approved"
    decided = dict.fromkeys(state.get("calls", ()), approved)
    decisions = {**state.get("decisions", {}), **decided}
    lifecycle.unpark(claim.run, more={"decisions": decisions})
    return NOTHING
