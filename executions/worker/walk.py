"""
Walk along an execution: do the step that a message names, and those that follow.

Going on in place ("warm") records a step's end and claims the next step in one
statement, and saves the way through the broker. The walk ends at a parallel group,
at a step of another pool, at a step with a longer time limit than the message
carries, or when its time is used up; the canvas goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from core_orchestration.definition import Block
from core_orchestration.language import TemplateRenderError
from executions import (
    dispatch,
    failpoints,
    lifecycle,
    output,
    pinned,
    situation,
)
from executions.announce import announce
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, Settled
from executions.plan import Plan, PlannedStep
from executions.signatures import Address
from executions.situation import Situation
from executions.worker import aftermath, beginning, perform
from executions.worker.beginning import ComeBack, Standing
from executions.worker.patience import insist
from executions.worker.perform import Ended, Run
from executions.worker.prepare import prepare, role_of
from executions.worker.transitions import (
    Settle,
    SettleAndClaim,
    SettleAndClose,
    SettleAndComplete,
    Tell,
    Transition,
)
from roles.runners import runner_for

log = logging.getLogger(__name__)

WARM_S = 0.05  # how long one message may go on with further steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """
    Where a walk ended: the block that the canvas goes on with, or nowhere.

    `left` says that a frame has ended, or an execution that another waits for, and that
    those around it are to hear of that.
    """

    block: int | None = None
    left: bool = False


NOWHERE = Passage()
LEFT = Passage(left=True)
# Where a step leads: to an end, to a claimed step, or to one that is still to begin.
Reached = Passage | Claim | None
Steps = Generator[Transition, Settled, Passage]


@dataclass(slots=True, kw_only=True)
class Walk:
    """One message's way through an execution."""

    address: Address
    plan: Plan
    pool: str
    at: PlannedStep
    longest_ms: int  # the time limit that the message was sent with
    started: float = field(default_factory=monotonic)
    warm_s: float = field(default_factory=lambda: WARM_S)
    in_company: bool = False  # others wait for each of its steps
    run: Run = perform.run

    @classmethod
    def of(cls, address: Address, *, path: str, pool: str) -> Walk:
        """Start at a step; `pool` is the one whose worker walks."""
        plan = pinned.plan_of(address)
        at = plan.by_path[path]
        return cls(
            address=address,
            plan=plan,
            pool=pool,
            at=at,
            longest_ms=at.step.timeout_ms,
        )

    @property
    def execution_id(self) -> UUID:
        return UUID(self.address.execution)

    def go(self) -> Passage:
        """
        Walk as far as it goes.

        Raises ComeBack when the step at hand is to be tried again later: for its
        retry, because another worker has it, or because the database is away.
        """
        try:
            return self._go_and_expect()
        except UNREACHABLE as error:
            log.warning("PostgreSQL cannot be reached: %s", error)
            raise ComeBack(self.at.path, 1.0) from error
        finally:
            announce(self.execution_id)

    def _go_and_expect(self) -> Passage:
        """Walk, and have what waits for a worker then wait for a limited time."""
        try:
            reached = self._go()
        except ComeBack as signal:
            block = self.plan.by_path[signal.path].block.index
            dispatch.expect(self.plan, block, self.execution_id, delay_s=signal.delay_s)
            raise
        if reached.block is not None:
            dispatch.expect(self.plan, reached.block, self.execution_id)
        return reached

    def _go(self) -> Passage:
        """Take each transition as it comes, alone."""
        steps = self.steps()
        answer: Settled | None = None
        try:
            while True:
                transition = steps.send(answer) if answer else next(steps)
                answer = self._taken_alone(steps, transition)
        except StopIteration as end:
            passage: Passage = end.value
            return passage

    def _taken_alone(self, steps: Steps, transition: Transition) -> Settled:
        """Hand an error to the walk, which knows what is to become of its step."""
        while True:
            try:
                return transition.alone()
            except Exception as error:  # noqa: BLE001
                transition = steps.throw(error)

    def steps(
        self, claim: Claim | None = None, known: Situation | None = None
    ) -> Steps:
        """
        Walk, and yield each transition that is to be taken before going on.

        With a claim, its step is the first one done, and `known` is what was read for
        it.
        """
        reached: Passage | Claim | None = claim
        while not isinstance(reached, Passage):
            if reached is None or known is None:
                known = situation.read_before(self.execution_id, self.plan, self.at)
                reached = yield from self._arrive(known)
            else:
                reached = yield from self._work_safely(reached, known)
        return reached

    def _work_safely(
        self, claim: Claim, known: Situation
    ) -> Generator[Transition, Settled, Reached]:
        """See that a claimed step ends, whatever goes wrong here."""
        planned = self.at
        try:
            return (yield from self._work(claim, known))
        except (ComeBack, *UNREACHABLE):
            raise
        except Exception as error:
            log.exception("Step %s could not be ended.", planned.path)
            ended = perform.broken(claim, planned, error)
            yield Tell(claim=claim)
            insist(lambda: lifecycle.settle_and_fail(claim, ended.outcome))
            return self._fallen

    def _arrive(
        self, known: Situation | None
    ) -> Generator[Transition, Settled, Reached]:
        """Begin the step at hand; None when the walk has moved on to the next."""
        if known is None or not known.is_current(self.address.epoch):
            if known and known.cancelling:
                lifecycle.finish_cancel(self.execution_id)
            return NOWHERE
        begun: Claim | Standing | None = beginning.standing(self.plan, self.at, known)
        if begun is None:
            prepared = prepare(self.address, self.plan, self.at, known)
            begun = beginning.begin(prepared, self.at, known)
        if begun is Standing.NOT_ITS_TURN:
            return NOWHERE
        if begun is Standing.FALLEN:
            return self._fallen
        if begun is Standing.SETTLED:
            return (yield from self._pass_by(known))
        return begun

    @property
    def _fallen(self) -> Passage:
        """Where a step leads that ends its frame, or the execution."""
        return NOWHERE if self.plan.is_top else LEFT

    def _pass_by(
        self, known: Situation
    ) -> Generator[Transition, Settled, Passage | None]:
        """Go on past a step that is settled: skipped, or done by another message."""
        if self.at.block.is_group:
            return NOWHERE
        following = self.plan.next_block(self.at.block)
        if following is None:
            return (yield from self._end(None, None, known))
        if not self._may_go_on(following, known):
            return Passage(block=following.index)
        self.at = self.plan.of_block(following)[0]
        return None

    def _work(
        self, claim: Claim, known: Situation
    ) -> Generator[Transition, Settled, Reached]:
        """Do the claimed step, record its end, and begin the next one if it may be."""
        failpoints.reach("after_claim", self.at.path)
        ended = perform.work(claim, self.plan, self.at, known, run=self.run)
        if ended is not None:
            failpoints.reach("before_commit", self.at.path)
        if ended is None or not aftermath.leads_on(ended):
            yield Tell(claim=claim)
            aftermath.conclude(claim, self.at, ended)
            return self._fallen if ended and ended.is_fatal else NOWHERE
        known.remember(self.at.path, ended.outcome)
        if self.at.block.is_group:
            yield Settle(claim=claim, outcome=ended.outcome)
            failpoints.reach("before_part", self.at.path)
            return NOWHERE
        following = self.plan.next_block(self.at.block)
        if following is None:
            return (yield from self._end(claim, ended, known))
        if not self._may_go_on(following, known):
            settled = yield Settle(claim=claim, outcome=ended.outcome)
            failpoints.reach("after_commit", self.at.path)
            return Passage(block=following.index) if settled.recorded else NOWHERE
        return (yield from self._go_on(claim, ended, following, known))

    def _go_on(
        self, claim: Claim, ended: Ended, following: Block, known: Situation
    ) -> Generator[Transition, Settled, Reached]:
        """Record the end and claim the next step; None leaves it to a plain claim."""
        self.at = coming = self.plan.of_block(following)[0]
        prepared = None
        if known.knows(coming.before) and coming.step.milestone is None:
            prepared = insist(lambda: prepare(self.address, self.plan, coming, known))
        if prepared is None or prepared.skip or prepared.refusal:
            settled = yield Settle(claim=claim, outcome=ended.outcome)
            return None if settled.recorded else NOWHERE
        settled = yield SettleAndClaim(
            claim=claim, outcome=ended.outcome, following=prepared.run
        )
        return settled.next if settled.recorded else NOWHERE

    def _may_go_on(self, following: Block, known: Situation) -> bool:
        if not following.is_walked or monotonic() - self.started > self.warm_s:
            return False
        coming = self.plan.of_block(following)[0]
        if self.in_company and not coming.is_batchable:
            return False
        role = role_of(coming, known)
        return (
            coming.step.timeout_ms <= self.longest_ms
            and runner_for(role.kind).pool(role) == self.pool
        )

    def _end(
        self, claim: Claim | None, ended: Ended | None, known: Situation
    ) -> Generator[Transition, Settled, Passage]:
        """End the execution, or the frame, with its last step if that is at hand."""
        if self.plan.is_top:
            return (yield from self._complete(claim, ended, known))
        last = self.plan.blocks[-1]
        result = insist(
            lambda: situation.output_after(self.execution_id, self.plan, last, known)
        )
        if claim and ended:
            yield SettleAndClose(claim=claim, outcome=ended.outcome, result=result)
        else:
            frame = self.plan.frame
            insist(
                lambda: lifecycle.close_frame(self.execution_id, frame, output=result)
            )
        return LEFT

    def _complete(
        self, claim: Claim | None, ended: Ended | None, known: Situation
    ) -> Generator[Transition, Settled, Passage]:
        """End the execution, together with its last step if that is at hand."""
        try:
            result = insist(lambda: output.render(self.execution_id, self.plan, known))
        except TemplateRenderError as error:
            if claim and ended:
                yield Settle(claim=claim, outcome=ended.outcome)
            output.refuse(self.execution_id, self.address.epoch, error)
            return NOWHERE
        if claim and ended:
            yield SettleAndComplete(claim=claim, outcome=ended.outcome, result=result)
        else:
            lifecycle.complete(
                self.execution_id, epoch=self.address.epoch, output=result
            )
        return LEFT if known.awaited else NOWHERE
