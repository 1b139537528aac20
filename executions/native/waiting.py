"""`wait`: until some time has passed, or a moment has come."""

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


def _waits(at: Place) -> Waiting:
    if "until" in at.planned.compiled.templates:
        return Waiting(until=_moment(at.render("until")))
    duration = at.render("duration_ms")
    if isinstance(duration, bool) or not isinstance(duration, int) or duration < 0:
        wrong = duration if isinstance(duration, int) else kind_of(duration)
        raise Fault("bad_duration", f"duration_ms must be a whole number, not {wrong}.")
    return Waiting(in_ms=duration)


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise Fault(
            "bad_time",
            f"until must be a time such as 2030-01-31T12:00:00Z, not {text}.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
