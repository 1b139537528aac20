"""
Do many short members of a parallel group for one message.

They are claimed together, done one after the other, and recorded together, so that a
step costs a fraction of a statement and of a message. Whoever stands behind a member
that turns out to be long is handed over to others at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from executions import dispatch, failpoints, lifecycle, passage, pinned, situation
from executions.announce import announce
from executions.canvas import Manner
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, Finished, NewRun, Outcome
from executions.plan import Plan, PlannedStep
from executions.signatures import Address
from executions.situation import Situation
from executions.worker import aftermath, beginning, departure, perform
from executions.worker.beginning import ComeBack, Standing
from executions.worker.patience import insist, insist_and_tell
from executions.worker.perform import Ended
from executions.worker.prepare import prepare
from executions.worker.relief import is_too_long, this_relief

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A member that ended, not yet recorded; the times are monotonic seconds."""

    claim: Claim
    outcome: Outcome
    began: float
    ended: float


@dataclass(slots=True, kw_only=True)
class Batch:
    """
    Members that one worker claimed together.

    The lock keeps the worker apart from the thread that relieves it.
    """

    plan: Plan
    address: Address
    known: Situation
    waiting: deque[tuple[PlannedStep, Claim]] = field(default_factory=deque)
    started: float = 0.0
    _done: list[Done] = field(default_factory=list)
    _at: Claim | None = None
    _began: float = 0.0
    _told: bool = False  # that the member at hand is under way
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_late(self) -> bool:
        """Tell whether what waits, or is done, has waited long enough."""
        open_work = self.waiting or self._done or (self._at and not self._told)
        step_began = self._began if self._at else None
        return bool(open_work) and is_too_long(
            step_began=step_began, began=self.started
        )

    def claim(self, members: Sequence[PlannedStep]) -> None:
        """Claim the members that are new; one with a history goes its own way."""
        begun = {m.path for m in members if m.path in self.known.rows}
        ready = [self._prepared(m) for m in members if m.path not in begun]
        if left := begun - self.known.settled:
            self._send_singly(left)
        runs = [run for run in ready if run]
        steps, started = self.plan.by_path, self.known.status == "running"
        for claim in departure.claimed(runs, started=started):
            self.waiting.append((steps[claim.run.path], claim))
        self.started = monotonic()

    def _prepared(self, planned: PlannedStep) -> NewRun | None:
        """Make a member ready to run; one that is not to run is settled at once."""
        prepared = prepare(self.address, self.plan, planned, self.known)
        if not (prepared.skip or prepared.refusal):
            return prepared.run
        with suppress(ComeBack):  # another message led to it, and goes on with it
            begun = beginning.begin(prepared, planned, self.known)
            if begun is Standing.FALLEN:
                self._fall()
        return None

    def work_off(self) -> None:
        """Do the members, until all are done or handed over."""
        with this_relief().watching(self):
            try:
                while member := self._next():
                    self._do(*member)
            finally:
                self.hand_over()

    def hand_over(self) -> None:
        """Record what is done, and send what waits on its own."""
        with self._lock:
            self._record()
            self._tell_of_the_one_at_hand()
            self._put_back()

    def _put_back(self) -> None:
        """Give back what waits; what is no longer this worker's own is left alone."""
        rest = tuple(self.waiting)
        self.waiting.clear()
        if not rest:
            return
        back, repeated = insist_and_tell(
            lambda: lifecycle.put_back([claim for _, claim in rest])
        )
        paths = {
            planned.path for planned, claim in rest if repeated or claim.run.id in back
        }
        if paths:
            self._send_singly(paths)

    def _next(self) -> tuple[PlannedStep, Claim] | None:
        with self._lock:
            if self.is_late:
                self.hand_over()
            if not self.waiting:
                return None
            member = self.waiting.popleft()
            self._at, self._began, self._told = member[1], monotonic(), False
            return member

    def _do(self, planned: PlannedStep, claim: Claim) -> None:
        """See that a member ends, whatever goes wrong here."""
        try:
            failpoints.reach("after_claim", planned.path)
            ended = perform.work(claim, self.plan, planned, self.known)
            failpoints.reach("before_commit", planned.path)
            self._end(claim, ended)
        except UNREACHABLE:
            raise
        except Exception as error:
            log.exception("Step %s could not be ended.", planned.path)
            self._end(claim, perform.broken(claim, planned, error))

    def _end(self, claim: Claim, ended: Ended | None) -> None:
        """Keep an outcome for the batch's record, or record what cannot wait."""
        settled = ended.outcome if ended and aftermath.leads_on(ended) else None
        with self._lock:
            if settled and not self._told:
                self._keep(claim, settled)
                return
            self._record()  # first: what ends the execution cuts what is open
            self._tell_of_the_one_at_hand()
            self._at = None
            if settled:
                insist(lambda: lifecycle.settle(claim, settled))
            else:
                self._conclude(claim, ended)

    def _conclude(self, claim: Claim, ended: Ended | None) -> None:
        try:
            aftermath.conclude(claim, self.plan.by_path[claim.run.path], ended)
        except ComeBack as again:
            self._send_singly({again.path}, delay_s=again.delay_s)
        if ended is None or ended.is_fatal:
            self._put_back()  # who was stopped, or ended it all, has none behind it
        if ended is not None and ended.is_fatal:
            self._fall()

    def _fall(self) -> None:
        """Have the container hear that the frame has ended with one of its members."""
        if self.address.frame:
            insist(lambda: passage.left(self.address))

    def _keep(self, claim: Claim, outcome: Outcome) -> None:
        done = Done(claim=claim, outcome=outcome, began=self._began, ended=monotonic())
        self._done.append(done)
        self._at = None

    def _tell_of_the_one_at_hand(self) -> None:
        at, began = self._at, self._began
        if at is not None and not self._told:
            insist(lambda: lifecycle.tell_begun((at, monotonic() - began)))
            self._told = True

    def _record(self) -> None:
        done = tuple(self._done)
        if not done:
            return
        try:
            insist(lambda: lifecycle.settle_many(_finished(done)))
        except UNREACHABLE:
            raise
        except Exception:
            log.exception("A batch is recorded one by one.")
            self._record_singly(done)
        self._done.clear()

    def _record_singly(self, done: Sequence[Done]) -> None:
        """Record each outcome; one that the database refuses fails its step alone."""
        refused = [(each, _refusal(each)) for each in done]
        for each, error in refused:
            if error is not None:
                self._break(each, error)

    def _break(self, done: Done, error: Exception) -> None:
        claim = done.claim
        ended = perform.broken(claim, self.plan.by_path[claim.run.path], error)
        ago = monotonic() - done.began
        insist(lambda: lifecycle.tell_begun((claim, ago)))
        if ended.is_fatal:
            insist(lambda: lifecycle.settle_and_fail(claim, ended.outcome))
            self._put_back()
            self._fall()
        else:
            insist(lambda: lifecycle.settle(claim, ended.outcome))

    def _send_singly(self, paths: set[str], *, delay_s: float = 0.0) -> None:
        block = self.plan.by_path[min(paths)].block.index
        pins = self.known.role_pins
        manner = Manner(members=paths, singly=True, delay_s=delay_s)
        dispatch.send(self.plan, block, self.address, pins=pins, manner=manner)


def _refusal(done: Done) -> Exception | None:
    """Record one outcome, or return the error for which it cannot be recorded."""
    try:
        insist(lambda: lifecycle.settle_many(_finished([done])))
    except UNREACHABLE:
        raise
    except Exception as error:
        log.exception("Step %s could not be ended.", done.claim.run.path)
        return error
    return None


def _finished(done: Sequence[Done]) -> list[Finished]:
    now = monotonic()
    return [
        Finished(
            claim=each.claim,
            outcome=each.outcome,
            began_ago=now - each.began,
            ended_ago=now - each.ended,
        )
        for each in done
    ]


def work_off(address: Address, paths: Collection[str]) -> None:
    """
    Do those members of a parallel group that nobody has begun.

    Raises OperationalError or InterfaceError, and has done nothing, when the database
    is away.
    """
    try:
        if batch := begun(address, paths):
            batch.work_off()
            failpoints.reach("before_part", next(iter(paths)))
    finally:
        announce(UUID(address.execution))


def begun(address: Address, paths: Collection[str]) -> Batch | None:
    """Claim members of a group that nobody has begun; None if it is not their turn."""
    execution_id = UUID(address.execution)
    plan = pinned.plan_of(address)
    members = [plan.by_path[path] for path in paths]
    known = situation.read_before(execution_id, plan, *members)
    if known is None or not known.is_current(address.epoch):
        if known and known.cancelling:
            lifecycle.finish_cancel(execution_id)
        return None
    if not situation.is_ready(plan, members[0], known):
        return None
    batch = Batch(plan=plan, address=address, known=known)
    batch.claim(members)
    return batch
