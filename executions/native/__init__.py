"""
Steps that the engine does itself: they have no role, and take no worker's slot.

Each type has a function that lets a step begin where it stands, and says what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core_orchestration.definition import RECKONING_TYPE
from core_orchestration.language import TemplateRenderError
from executions import lifecycle, milestones
from executions.bodies import HOLDERS, Fault
from executions.database import one_transaction
from executions.lifecycle import Claim
from executions.lifecycle.locking import lock_execution
from executions.native import (
    asking,
    children,
    holding,
    markers,
    parking,
    reckoning,
    waiting,
)
from executions.native.answering import take
from executions.native.children import hear as hear_child
from executions.native.ending import OPEN, refuse, skip
from executions.native.events import look
from executions.native.holding import hear
from executions.native.place import Place, hold, place
from executions.native.upshot import NOTHING, Ending, Upshot
from executions.plan import PlannedStep
from executions.runs import run_of
from executions.signatures import Address

_BEGIN: Mapping[str, Callable[[Place], Upshot]] = {
    **dict.fromkeys(HOLDERS, holding.begin),
    "approval": asking.begin,
    "break": markers.end_loop,
    "orchestration": children.begin,
    RECKONING_TYPE: reckoning.begin,
    "stop": markers.stop,
    "wait": waiting.begin,
}


_WAKE: Mapping[str, Callable[[Place, Claim], Upshot]] = {
    "approval": asking.wake,
    "wait": waiting.wake,
}


def begin(address: Address, planned: PlannedStep) -> Upshot:
    """Let a step begin, skip it, or fail it if its templates do not resolve."""
    at = place(address, planned)
    if at is None:
        return NOTHING
    row = at.known.rows.get(planned.path)
    if row is not None and row.is_settled:
        return Upshot(ending=Ending.SETTLED)
    if row is not None and row.status == OPEN:
        return NOTHING  # it has begun, and waits
    try:
        if at.is_skipped():
            return skip(run_of(address, planned))
        act = _BEGIN[planned.step.step_type]
        if planned.step.milestone is not None and row is None:
            return _begin_in_time(at, act)
        return act(at)
    except (Fault, TemplateRenderError) as error:
        return refuse(at, error)


def _begin_in_time(at: Place, act: Callable[[Place], Upshot]) -> Upshot:
    """Let a step begin if its milestone is not past."""
    with one_transaction():
        lock_execution(at.uuid)
        if milestones.is_past(at.uuid, at.planned):
            return skip(run_of(at.address, at.planned))
        return act(at)


def wake(address: Address, planned: PlannedStep) -> Upshot:
    """Let a step see that its time has come."""
    act = parking.wake if planned.step.has_role else _WAKE.get(planned.step.step_type)
    if act is None:
        return NOTHING
    with one_transaction():
        held = hold(address, planned)
        if held is None or not held[0].is_due():
            return NOTHING
        at, claim = held
        lifecycle.rouse(at.uuid)
        return act(at, claim)


__all__ = [
    "Ending",
    "Upshot",
    "begin",
    "hear",
    "hear_child",
    "look",
    "take",
    "wake",
]
