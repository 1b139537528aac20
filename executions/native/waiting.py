"""`wait`: for the clock, or for an event from outside."""

from __future__ import annotations

from executions.lifecycle import Claim
from executions.native import events, timing
from executions.native.place import Place
from executions.native.upshot import Upshot


def begin(at: Place) -> Upshot:
    """Begin to wait; what has come already ends it at once."""
    return events.begin(at) if _is_for_event(at) else timing.begin(at)


def wake(at: Place, claim: Claim) -> Upshot:
    """End the wait, whose time is over."""
    return events.wake(at, claim) if _is_for_event(at) else timing.wake(at, claim)


def _is_for_event(at: Place) -> bool:
    return "event" in at.planned.compiled.templates
