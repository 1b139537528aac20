"""`wait` for the clock: until some time has passed, or a moment has come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from executions import lifecycle
from executions.bodies import Fault
from executions.database import one_transaction
from executions.lifecycle import Claim, Waiting
from executions.native.ending import settle
from executions.native.place import Place
from executions.native.upshot import NOTHING, Upshot
from executions.runs import run_of
from roles.problems import kind_of

# A century; the database's clock does not go on for ever.
LONGEST_MS = 36_500 * 24 * 3_600_000


def begin(at: Place) -> Upshot:
    """Set the timer."""
    with one_transaction():
        run = run_of(at.address, at.planned)
        if lifecycle.begin_waiting(run, waits=_waits(at)):
            at.rest()
    return NOTHING


def wake(at: Place, claim: Claim) -> Upshot:
    """End the wait; what came before it is its output."""
    return settle(at, claim, at.output_before())


def milliseconds(name: str, value: Any, *, type_: str) -> int:
    """Return the value of a field that gives a time to wait, or raise Fault."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Fault(type_, f"{name} must be a whole number, not {kind_of(value)}.")
    if not 0 <= value <= LONGEST_MS:
        raise Fault(type_, f"{name} must be from 0 to {LONGEST_MS}, not {value}.")
    return value


def _waits(at: Place) -> Waiting:
    if "until" in at.planned.compiled.templates:
        return Waiting(until=_moment(at.render("until")))
    duration = at.render("duration_ms")
    return Waiting(in_ms=milliseconds("duration_ms", duration, type_="bad_duration"))


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise Fault(
            "bad_time",
            f"until must be a time such as 2030-01-31T12:00:00Z, not {text}.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
