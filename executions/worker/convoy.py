"""
Several executions of one version that walk together, for one message.

They go from step to step abreast: each does its step, and then all ends are recorded
and all next steps claimed in one statement, so that a step costs a fraction of one. An
execution whose step turns out to be long holds up nobody: the others are handed over
to messages of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from executions import dispatch, lifecycle, passage, pinned, situation
from executions.announce import announce
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, NewRun
from executions.plan import PlannedStep
from executions.signatures import Address
from executions.situation import Situation
from executions.worker import beginning
from executions.worker.abreast import Traveller, take_together
from executions.worker.beginning import ComeBack
from executions.worker.leases import this_worker
from executions.worker.patience import insist, insist_and_tell
from executions.worker.prepare import prepare
from executions.worker.relief import is_too_long, this_relief
from executions.worker.transitions import Settle, SettleAndClaim, Tell, Transition
from executions.worker.walk import Walk

log = logging.getLogger(__name__)

LONGEST_S = 0.5  # how long they may walk together


@dataclass(slots=True)
class Convoy:
    """
    Executions abreast; the lock keeps their worker apart from the one who relieves it.

    `travellers` are those that wait for their turn, or for the others.
    """

    travellers: list[Traveller]
    round_started: float = field(default_factory=monotonic)
    _at: Traveller | None = None
    _alone: Traveller | None = None  # for whose step the others did not wait
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_late(self) -> bool:
        """Tell whether somebody has waited long enough for somebody else's step."""
        at = self._at  # the relief asks without the lock, while a step ends
        waits = bool(self.travellers) or (at is not None and not at.told)
        step_began = at.began if at else None
        return waits and is_too_long(step_began=step_began, began=self.round_started)

    def go(self) -> None:
        """Walk until every execution has arrived, or was handed over."""
        with this_relief().watching(self):
            try:
                while self.travellers:
                    self._go_one_step()
            finally:
                self.hand_over()

    def _go_one_step(self) -> None:
        self.round_started = monotonic()
        for traveller in tuple(self.travellers):
            if self._comes_on(traveller):
                self._walk(traveller)
        with self._lock:
            take_together([each for each in self.travellers if each.asks])

    def _comes_on(self, traveller: Traveller) -> bool:
        """Take a traveller out of the waiting ones; False if it was handed over."""
        with self._lock:
            if self.is_late:
                self.hand_over()
            if traveller not in self.travellers:
                return False
            self.travellers.remove(traveller)
            self._at, traveller.began = traveller, monotonic()
            return True

    def _walk(self, traveller: Traveller) -> None:
        """Do one step of an execution; once it is on its own, all that follow."""
        try:
            while asked := _come_on(traveller):
                if self._waits(traveller, asked):
                    return
        except ComeBack as again:
            path, delay_s = again.path, again.delay_s
            address = traveller.walk.address
            insist(lambda: passage.send_members(address, [path], delay_s=delay_s))
        with self._lock:
            self._at = None
        _go_on_behind(traveller)

    def _waits(self, traveller: Traveller, asked: Transition) -> bool:
        """Have a traveller wait for the others; False if it goes on at once."""
        with self._lock:
            traveller.ended = monotonic()
            if isinstance(asked, Tell) or traveller is self._alone:
                traveller.take_alone(asked)
                traveller.began = monotonic()
                return False
            traveller.asks = asked
            self.travellers.append(traveller)
            self._at = None
            return True

    def hand_over(self) -> None:
        """Record what is done, and send what waits on its own."""
        with self._lock:
            waiting, self.travellers = self.travellers, []
            if self._at is not None:
                self._at.tell()
                self._alone = self._at
            _record(waiting)
            for each in _put_back(waiting):
                _send_from(each, each.claim.run.path)
            for each in waiting:
                _send_on_safely(each)
                announce(each.walk.execution_id)


def _come_on(traveller: Traveller) -> Transition | None:
    try:
        return traveller.come_on()
    except UNREACHABLE as error:
        log.warning("PostgreSQL cannot be reached: %s", error)
        raise ComeBack(traveller.walk.at.path, 1.0) from error


def _go_on_behind(traveller: Traveller) -> None:
    """Let the canvas go on where a walk has ended."""
    address, arrived = traveller.walk.address, traveller.arrived
    if arrived is not None and arrived.block is not None:
        block = arrived.block
        insist(lambda: passage.advance(address, block))
    announce(traveller.walk.execution_id)  # others may still walk for long


def _record(waiting: Sequence[Traveller]) -> None:
    """Record ends, and begin nothing: others are to go on."""
    for each in waiting:
        if isinstance(each.asks, SettleAndClaim):
            each.asks = Settle(claim=each.asks.claim, outcome=each.asks.outcome)
    take_together([each for each in waiting if each.asks])


def _put_back(waiting: Sequence[Traveller]) -> list[Traveller]:
    """Give back the claims of those whose turn has not come, and say whose."""
    unbegun = [each for each in waiting if each.unbegun]
    if not unbegun:
        return []
    kept = [each.claim for each in unbegun]
    back, repeated = insist_and_tell(lambda: lifecycle.put_back(kept))
    return [each for each in unbegun if repeated or each.claim.run.id in back]


def _send_from(traveller: Traveller, path: str) -> None:
    walk = traveller.walk
    block = walk.plan.by_path[path].block.index
    pins = traveller.known.role_pins
    dispatch.send(walk.plan, block, walk.address, pins=pins)


def _send_on_safely(traveller: Traveller) -> None:
    """See that a fault in one execution keeps nobody else from being sent."""
    try:
        _send_on(traveller)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("Execution %s is stuck.", traveller.walk.execution_id)


def _send_on(traveller: Traveller) -> None:
    """Have an execution go on behind the step that it has ended."""
    if traveller.error is not None:  # its walk says what becomes of the step
        while asked := traveller.come_on():
            traveller.take_alone(asked)
        return
    last, answer = traveller.last, traveller.answer
    if answer is None or answer.next or not answer.recorded:
        return
    if not isinstance(last, Settle | SettleAndClaim):
        return
    walk = traveller.walk
    following = walk.plan.next_block(walk.plan.by_path[last.claim.run.path].block)
    if following is None:  # its output was found not to resolve
        insist(lambda: passage.end(walk.execution_id, walk.address))
    else:
        insist(lambda: passage.advance(walk.address, following.index))


def walk_together(
    version: str, epoch: int, executions: Sequence[str], path: str
) -> None:
    """
    Walk with executions from the step at `path` on, those that have not begun it.

    Raises OperationalError or InterfaceError, and has done nothing, when the database
    is away.
    """
    addresses = [
        Address(execution=execution, version=version, epoch=epoch)
        for execution in executions
    ]
    try:
        Convoy(_set_out(addresses, path)).go()
    finally:
        for execution in executions:
            announce(UUID(execution))


def _set_out(addresses: Sequence[Address], path: str) -> list[Traveller]:
    """Claim the first step of each; who cannot begin it just so gets a message."""
    plan = pinned.plan(addresses[0].version)
    first = plan.by_path[path]
    ids = [UUID(address.execution) for address in addresses]
    known = situation.read_each(ids, plan, first)
    setting_out: dict[UUID, tuple[Walk, Situation, NewRun]] = {}
    for address, execution_id in zip(addresses, ids, strict=True):
        one = known.get(execution_id)
        if one is None or not one.is_current(address.epoch):
            if one and one.cancelling:
                lifecycle.finish_cancel(execution_id)
        elif run := _plain_run(address, first, one):
            setting_out[run.id] = (_walk(address, first), one, run)
        else:
            dispatch.send(plan, first.block.index, address, pins=one.role_pins)
    try:
        claims = _claim(setting_out)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("%d executions set out singly.", len(setting_out))
        for walk, one, _ in setting_out.values():
            dispatch.send(plan, first.block.index, walk.address, pins=one.role_pins)
        return []
    return [_traveller(*setting_out[claim.run.id][:2], claim) for claim in claims]


def _plain_run(
    address: Address, planned: PlannedStep, known: Situation
) -> NewRun | None:
    """Make the step ready; None if it has a history, or is not to be run."""
    plan = pinned.plan(address.version)
    if planned.path in known.rows or beginning.standing(plan, planned, known):
        return None
    prepared = prepare(address, plan, planned, known)
    return None if prepared.skip or prepared.refusal else prepared.run


def _walk(address: Address, first: PlannedStep) -> Walk:
    walk = Walk.of(address, path=first.path, pool="cpu")
    walk.warm_s, walk.in_company = LONGEST_S, True
    return walk


def _claim(setting_out: dict[UUID, tuple[Walk, Situation, NewRun]]) -> list[Claim]:
    runs = [run for _, _, run in setting_out.values()]
    if not runs:
        return []
    started = all(known.status == "running" for _, known, _ in setting_out.values())
    claims, repeated = insist_and_tell(
        lambda: lifecycle.claim_many(runs, started=started)
    )
    if not repeated:
        return claims
    # A reply was lost; what it told is on record, unless the lease was lost, too.
    mine = this_worker().identity() == runs[0].worker
    return insist(lambda: lifecycle.claims_of(runs)) if mine else []


def _traveller(walk: Walk, known: Situation, claim: Claim) -> Traveller:
    known.status = "running"
    return Traveller(
        walk=walk, steps=walk.steps(claim, known), known=known, claim=claim
    )
