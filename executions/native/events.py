"""
`wait` for an event: the first that comes, or has come, and matches.

The wait is written before anybody looks for an event that is there. Should this process
die in between, the reconciler looks a few seconds later.
"""

from __future__ import annotations

from core_orchestration.language import TemplateRenderError
from executions import lifecycle
from executions.bodies import Fault
from executions.database import one_transaction
from executions.lifecycle import Claim, Posted, Waiting
from executions.native.ending import fail, failure, settle
from executions.native.place import Place, hold, place
from executions.native.timing import milliseconds
from executions.native.upshot import NOTHING, Upshot
from executions.plan import PlannedStep
from executions.runs import run_of
from executions.signatures import Address
from executions.states import StepStatus
from roles.problems import kind_of

LONGEST_NAME = 200
_LOOK_AGAIN_MS = 5_000
_ROOT = "event"


def begin(at: Place) -> Upshot:
    """Wait, then look for an event that is there already."""
    waits = _waits(at)
    with one_transaction():
        run = run_of(at.address, at.planned)
        if lifecycle.begin_waiting(run, waits=waits) is None:
            return NOTHING
        lifecycle.wake_execution(run.execution_id, in_ms=_LOOK_AGAIN_MS)
        at.rest()
    return look(at.address, at.planned)


def _waits(at: Place) -> Waiting:
    name, limit = at.render("event"), None
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        wrong = f"{len(name)}" if isinstance(name, str) else kind_of(name)
        raise Fault(
            "bad_event",
            f"event must be a text of 1 to {LONGEST_NAME} characters, not {wrong}.",
        )
    if "timeout_ms" in at.planned.compiled.templates:
        limit = milliseconds("timeout_ms", at.render("timeout_ms"), type_="bad_timeout")
    afresh = at.planned.step.config.get("since") == "wait"
    return Waiting(event=name, in_ms=limit, afresh=afresh)


def wake(at: Place, claim: Claim) -> Upshot:
    """End the wait, as no event has come in time."""
    if at.planned.step.config.get("on_timeout") == "continue":
        return settle(at, claim, None)
    message = f"No event came in time for step {at.planned.step.key!r}."
    error = {"type": "timed_out", "message": message}
    return fail(at, claim, error, status=StepStatus.TIMED_OUT)


def look(
    address: Address, planned: PlannedStep, *, news: Posted | None = None
) -> Upshot:
    """
    Let a step take the first event that matches; nothing follows if there is none.

    With `news` of an event it looks only if that one matches: it may still take an
    earlier one. A paused execution takes nothing.
    """
    at = place(address, planned)
    if at is None:
        return NOTHING
    try:
        if news is not None and not _matches(at, news):
            return NOTHING
        for posted in lifecycle.signals_for(run_of(address, planned)):
            if _matches(at, posted):
                upshot = _take(address, planned, posted)
                if upshot is not None:
                    return upshot
    except TemplateRenderError as error:
        return _refuse(address, planned, error)
    return NOTHING


def _matches(at: Place, posted: Posted) -> bool:
    """Decide by the step's `match`; what an event lacks makes it another's."""
    if "match" not in at.planned.compiled.conditions:
        return True
    try:
        return at.holds_of("match", **{_ROOT: posted.seen()})
    except TemplateRenderError as error:
        if error.path is not None and error.path.startswith(_ROOT):
            return False
        raise


def _take(address: Address, planned: PlannedStep, posted: Posted) -> Upshot | None:
    """Settle a step with an event; None when its execution has it already."""
    with one_transaction():
        held = hold(address, planned)
        if held is None:
            return NOTHING
        at, claim = held
        if not lifecycle.take_signal(claim.run, posted.id):
            return None
        lifecycle.rouse(at.uuid)
        return settle(at, claim, posted.payload)


def _refuse(
    address: Address, planned: PlannedStep, error: TemplateRenderError
) -> Upshot:
    """Fail a step whose `match` cannot be decided, whatever event comes."""
    with one_transaction():
        held = hold(address, planned)
        if held is None:
            return NOTHING
        at, claim = held
        lifecycle.rouse(at.uuid)
        return fail(at, claim, failure(at, error, "match"))
