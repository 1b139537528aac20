"""
Executions that go abreast: what each of them asks for, and how all get it at once.

Every traveller is a walk that has come to the end of a step. Their transitions are
taken in one statement of each kind; if one of them is refused by the database, each is
taken by itself, and the refused one's walk decides what becomes of its step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from executions import lifecycle
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, Finished, Settled
from executions.situation import Situation
from executions.worker.patience import insist, insist_and_tell
from executions.worker.transitions import (
    Settle,
    SettleAndClaim,
    SettleAndClose,
    SettleAndComplete,
    Transition,
    answered,
)
from executions.worker.walk import Passage, Steps, Walk

log = logging.getLogger(__name__)

Recording = Settle | SettleAndClaim | SettleAndComplete | SettleAndClose


@dataclass(slots=True, kw_only=True, eq=False)
class Traveller:
    """
    One execution on its way with others.

    `claim` is the step at hand, and `told` whether its beginning is on record; what a
    step's end `asks` for is answered or, if the database refused it, failed.
    """

    walk: Walk
    steps: Steps
    known: Situation
    claim: Claim
    told: bool = False
    began: float = 0.0
    ended: float = 0.0
    asks: Transition | None = None
    last: Transition | None = None
    answer: Settled | None = None
    error: Exception | None = None
    arrived: Passage | None = None

    @property
    def unbegun(self) -> Claim | None:
        """The claim of a step whose turn has not come."""
        if self.last is None:
            return None if self.asks else self.claim
        return self.answer.next if self.answer else None

    def come_on(self) -> Transition | None:
        """
        Walk until something is asked for; None when the walk is over.

        Raises what a walk raises.
        """
        answer, error = self.answer, self.error
        self.asks = self.answer = self.error = None
        try:
            if error is not None:
                asked = self.steps.throw(error)
            else:
                asked = self.steps.send(answer) if answer else next(self.steps)
        except StopIteration as end:
            self.arrived = end.value
            return None
        if asked.claim is not self.claim:  # the walk began this step by itself
            self.claim, self.told = asked.claim, True
        return asked

    def tell(self) -> None:
        """Put on record that the step at hand has begun."""
        claim, began = self.claim, self.began
        if not self.told:
            insist(lambda: lifecycle.tell_begun((claim, monotonic() - began)))
            self.told = True

    def take_alone(self, asked: Transition) -> None:
        """Take a transition by itself; it tells of the step that it begins."""
        self.tell()
        try:
            self.take(asked, asked.alone(), told=True)
        except UNREACHABLE:
            raise
        except Exception as error:  # noqa: BLE001
            self.refuse(error)

    def refuse(self, error: Exception) -> None:
        """Keep why a transition cannot be taken: the walk knows what to do."""
        if not self.told:
            tell_together([self])
        self.error = error

    def take(self, asked: Transition, answer: Settled, *, told: bool) -> None:
        """Hear what came of a transition, and whether its claim was told of."""
        self.asks, self.last, self.answer = None, asked, answer
        if answer.next is not None:
            self.claim, self.told = answer.next, told

    def finished(self, asked: Recording, now: float) -> Finished:
        return Finished(
            claim=asked.claim,
            outcome=asked.outcome,
            began_ago=now - self.began,
            ended_ago=now - self.ended,
            told=self.told,
        )


def tell_together(travellers: Sequence[Traveller]) -> None:
    """
    Put on record that their steps have begun.

    Whom the database refuses that is told of, if at all, together with its end.
    """

    def act() -> None:
        now = monotonic()
        lifecycle.tell_begun(*((each.claim, now - each.began) for each in travellers))

    try:
        insist(act)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("That %d steps began is not recorded.", len(travellers))
        if len(travellers) > 1:
            for each in travellers:
                tell_together([each])
        return
    for each in travellers:
        each.told = True


def _settle(finished: Sequence[Finished], _: Sequence[Settle]) -> list[Settled]:
    return _recorded(finished, lifecycle.settle_many(finished))


def _settle_and_claim(
    finished: Sequence[Finished], asked: Sequence[SettleAndClaim]
) -> list[Settled]:
    following = [each.following for each in asked]
    return lifecycle.settle_and_claim_many(finished, following)


def _settle_and_complete(
    finished: Sequence[Finished], asked: Sequence[SettleAndComplete]
) -> list[Settled]:
    results = [each.result for each in asked]
    done = lifecycle.settle_and_complete_many(finished, results)
    return _recorded(finished, done)


def _settle_and_close(
    finished: Sequence[Finished], asked: Sequence[SettleAndClose]
) -> list[Settled]:
    results = [each.result for each in asked]
    done = lifecycle.settle_and_close_many(finished, results)
    return _recorded(finished, done)


def _recorded(finished: Sequence[Finished], done: Set[UUID]) -> list[Settled]:
    return [Settled(recorded=each.claim.run.id in done) for each in finished]


_TOGETHER: Mapping[type[Recording], Callable[..., list[Settled]]] = {
    Settle: _settle,
    SettleAndClaim: _settle_and_claim,
    SettleAndComplete: _settle_and_complete,
    SettleAndClose: _settle_and_close,
}


def take_together(travellers: Sequence[Traveller]) -> None:
    """Take the transitions that they ask for."""
    for kind, together in _TOGETHER.items():
        asking = [
            (each, each.asks) for each in travellers if isinstance(each.asks, kind)
        ]
        if asking:
            _take(asking, together)


def _take(
    asking: Sequence[tuple[Traveller, Recording]],
    together: Callable[..., list[Settled]],
) -> None:
    asked = [transition for _, transition in asking]

    def act() -> list[Settled]:
        now = monotonic()
        return together([each.finished(one, now) for each, one in asking], asked)

    try:
        answers, repeated = insist_and_tell(act)
    except UNREACHABLE:
        raise
    except Exception as error:
        if len(asking) == 1:
            asking[0][0].refuse(error)
            return
        log.exception("What %d executions ask for is taken singly.", len(asking))
        for one in asking:  # so that none is told of a beginning before its turn
            _take([one], together)
        return
    for (traveller, transition), answer in zip(asking, answers, strict=True):
        complete = answered(transition, answer, repeated=repeated)
        traveller.take(transition, complete, told=False)
