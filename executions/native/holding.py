"""
Steps that hold a body: what they decide is recorded, with what follows from it.

Sending it is the caller's to see to; should it die first, the record says what is
still to be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core_orchestration.language import TemplateRenderError
from executions import lifecycle, limits
from executions.bodies import HOLDERS, Decision, Fault, Finish
from executions.database import one_transaction
from executions.lifecycle import Claim
from executions.native.ending import fail, failure, settle, skip
from executions.native.place import Place, hold
from executions.native.upshot import NOTHING, Upshot
from executions.plan import PlannedStep
from executions.runs import run_of
from executions.signatures import Address

# Of a step that may have enough when some of its frames have succeeded.
_ENDS_OTHERS = ("stop_after", "join")


def begin(at: Place) -> Upshot:
    """Make a step's frames, and open the first ones."""
    run = run_of(at.address, at.planned)
    decision = HOLDERS[at.planned.step.step_type].begin(at.planned.compiled, at)
    if decision.finish and decision.finish.skipped:
        return skip(run)
    limits.check(at.uuid, at.planned, decision)
    with one_transaction():
        noted = replace(run, input=decision.note)
        claim = lifecycle.begin_waiting(noted, state=decision.state)
        return NOTHING if claim is None else _record(at, claim, decision)


def hear(address: Address, planned: PlannedStep) -> Upshot:
    """Let a step hear of the frames that have ended since it last did."""
    run = run_of(address, planned)
    holder = HOLDERS[planned.step.step_type]
    with one_transaction():
        held = hold(address, planned)
        if held is None:
            return NOTHING
        at, claim = held
        ended = lifecycle.hear(run, outputs=holder.hears_outputs)
        if not ended:
            return NOTHING
        try:
            state = lifecycle.recall(run)
            decision = holder.hear(planned.compiled, at, state, ended)
            limits.check(at.uuid, planned, decision)
        except (Fault, TemplateRenderError) as error:
            lifecycle.cut_frames(run)
            return fail(at, claim, failure(at, error))
        lifecycle.remember(run, decision.state)
        return _record(at, claim, decision)


def _record(at: Place, claim: Claim, decision: Decision) -> Upshot:
    """Write down what was decided; the execution's row is held."""
    run, state = claim.run, decision.state or {}
    lifecycle.make_frames(run, decision.make)
    if decision.finish is not None:
        return _finish(at, claim, state, decision.finish)
    started = lifecycle.start_frames(run, decision.start)
    apart = any(name in at.planned.step.config for name in _ENDS_OTHERS)
    return Upshot(started=started, under_way=_under_way(state), apart=apart)


def _under_way(state: Mapping[str, Any]) -> int:
    ended = state.get("completed", 0) + state.get("failed", 0)
    return int(state.get("started", 1) - ended)


def _finish(
    at: Place, claim: Claim, state: Mapping[str, Any], finish: Finish
) -> Upshot:
    run = claim.run
    lifecycle.cut_frames(run)
    if finish.error is not None:
        return fail(at, claim, finish.error)
    if not finish.gathered:
        return settle(at, claim, finish.output)
    holder = HOLDERS[at.planned.step.step_type]
    frames = lifecycle.frames_of(run)
    return settle(at, claim, holder.gather(at.planned.compiled, state, frames))
