"""
The only writer of status.

Every transition is one guarded statement that carries its event; whether its guard
held is an ordinary return value. All of them take the execution's row lock before
any step run's, so that they never wait for each other in a circle.
"""

from __future__ import annotations

from executions.lifecycle.claims import Claim, NewRun, claim, claim_of, skip
from executions.lifecycle.endings import cancel, complete, fail, time_out
from executions.lifecycle.outcomes import (
    Outcome,
    Settled,
    give_up_crashed,
    is_recorded,
    is_scheduled,
    return_lost,
    schedule_retry,
    settle,
    settle_and_claim,
    settle_and_complete,
    settle_and_fail,
)
from executions.lifecycle.passages import advance, create, leave, next_epoch

__all__ = [
    "Claim",
    "NewRun",
    "Outcome",
    "Settled",
    "advance",
    "cancel",
    "claim",
    "claim_of",
    "complete",
    "create",
    "fail",
    "give_up_crashed",
    "is_recorded",
    "is_scheduled",
    "leave",
    "next_epoch",
    "return_lost",
    "schedule_retry",
    "settle",
    "settle_and_claim",
    "settle_and_complete",
    "settle_and_fail",
    "skip",
    "time_out",
]
