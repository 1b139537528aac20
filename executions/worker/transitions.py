"""
What a walk asks the record for when a step has ended, taken alone or with others.

A walk yields one of these and goes on with the answer. `alone` is what a message of its
own does; a convoy takes those of many executions in one statement.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from executions import lifecycle
from executions.lifecycle import Claim, NewRun, Outcome, Settled
from executions.worker import beginning
from executions.worker.patience import insist, insist_and_tell

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The step has ended and nothing is begun here. Answered with Settled."""

    claim: Claim
    outcome: Outcome

    def alone(self) -> Settled:
        recorded, repeated = insist_and_tell(
            lambda: lifecycle.settle(self.claim, self.outcome)
        )
        return answered(self, Settled(recorded=recorded), repeated=repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleAndClaim:
    """The step has ended, and the next one is begun. Answered with Settled."""

    claim: Claim
    outcome: Outcome
    following: NewRun

    def alone(self) -> Settled:
        settled, repeated = insist_and_tell(
            lambda: lifecycle.settle_and_claim(self.claim, self.outcome, self.following)
        )
        return answered(self, settled, repeated=repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleAndComplete:
    """The last step has ended, and the execution with it. Answered with Settled."""

    claim: Claim
    outcome: Outcome
    result: Any

    def alone(self) -> Settled:
        recorded, repeated = insist_and_tell(
            lambda: lifecycle.settle_and_complete(self.claim, self.outcome, self.result)
        )
        return answered(self, Settled(recorded=recorded), repeated=repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleAndClose:
    """The last step of a frame has ended, and the frame with it."""

    claim: Claim
    outcome: Outcome
    result: Any

    def alone(self) -> Settled:
        recorded, repeated = insist_and_tell(
            lambda: lifecycle.settle_and_close(self.claim, self.outcome, self.result)
        )
        return answered(self, Settled(recorded=recorded), repeated=repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Something of the step's own follows: that it has begun must be on record."""

    claim: Claim

    def alone(self) -> Settled:
        return Settled(recorded=True)  # its claim has told so


Transition = Settle | SettleAndClaim | SettleAndComplete | SettleAndClose | Tell


def answered(transition: Transition, settled: Settled, *, repeated: bool) -> Settled:
    """
    Complete an answer that says "not recorded".

    If the statement was repeated because its reply was lost, the record tells what the
    first one did.
    """
    if settled.recorded:
        return settled
    claim = transition.claim
    if not (repeated and insist(lambda: lifecycle.is_recorded(claim))):
        log.warning("Step %s was not ours to end any more.", claim.run.path)
        return settled
    if not isinstance(transition, SettleAndClaim):
        return Settled(recorded=True)
    following = transition.following
    own = insist(lambda: beginning.own_claim(following))
    return Settled(recorded=True, next=own)
