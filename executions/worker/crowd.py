"""
Steps of one message that wait side by side: of several executions, or of one group.

Each runs on the process's event loop, and one thread attends to all of them: whoever
ends at about the same time is recorded, and led on, in one statement. Nobody waits
for anybody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from uuid import UUID

from executions import passage
from executions.announce import announce
from executions.database import UNREACHABLE
from executions.lifecycle import Claim
from executions.paths import step_path
from executions.plan import PlannedStep
from executions.signatures import Address
from executions.worker import batch, departure, parting, perform
from executions.worker.abreast import Traveller, take_together, tell_together
from executions.worker.attempts import AttemptTimedOut
from executions.worker.beginning import ComeBack
from executions.worker.leases import this_worker
from executions.worker.prepare import role_of
from executions.worker.relief import PATIENCE_S
from executions.worker.room import Places, room
from executions.worker.running import Beside
from executions.worker.transitions import Tell
from roles.runners import Result, RoleSpec

log = logging.getLogger(__name__)

LONGEST_S = 10.0  # how long executions may keep each other company


@dataclass(slots=True, kw_only=True)
class UnderWay:
    """A traveller's step, which runs beside others until its deadline."""

    traveller: Traveller
    deadline: float  # monotonic seconds
    result: Callable[[], Result]
    abandon: Callable[[], None]
    tell_at: float = inf  # when its beginning is put on record, in monotonic seconds

    @classmethod
    def start(cls, traveller: Traveller, *, when_over: Callable[[], None]) -> UnderWay:
        """Start a step; if it cannot be started, that is its result."""
        claim, walk = traveller.claim, traveller.walk
        if claim.left_s <= 0:
            return cls._over(traveller, AttemptTimedOut())
        try:
            planned = walk.plan.by_path[claim.run.path]
            role = role_of(planned, traveller.known)
            on_overdue = partial(perform.end_overdue, planned)
            beside = Beside.start(
                claim, planned, role, on_overdue=on_overdue, when_over=when_over
            )
        except Exception as error:  # noqa: BLE001  (the walk knows what it comes to)
            return cls._over(traveller, error)
        return cls(
            traveller=traveller,
            deadline=beside.deadline,
            result=beside.result,
            abandon=beside.abandon,
            tell_at=traveller.began + PATIENCE_S,
        )

    @classmethod
    def _over(cls, traveller: Traveller, error: BaseException) -> UnderWay:
        return cls(
            traveller=traveller,
            deadline=traveller.began,
            result=partial(_refuse, error),
            abandon=lambda: None,
        )


def _refuse(error: BaseException) -> Result:
    raise error


@dataclass(slots=True, kw_only=True)
class Crowd:
    """Travellers, each with a claimed step that awaits."""

    travellers: Sequence[Traveller]
    places: Places
    _under_way: dict[UUID, UnderWay] = field(default_factory=dict)  # by step run
    _over: SimpleQueue[UUID] = field(default_factory=SimpleQueue)

    def go(self) -> None:
        """Attend to every traveller until it has arrived or goes its own way."""
        for each in self.travellers:
            each.walk.run = self._result
            each.walk.warm_s = LONGEST_S
        try:
            self._begin(self.travellers)
            while self._under_way:
                self._attend([each for each in self._wait() if self._comes_on(each)])
                self.places.keep(len(self._under_way))
        finally:
            self._disperse()

    def _begin(self, travellers: Sequence[Traveller]) -> None:
        for each in travellers:
            each.began = monotonic()
            run_id = each.claim.run.id
            self._under_way[run_id] = UnderWay.start(
                each, when_over=partial(self._over.put, run_id)
            )

    def _result(self, claim: Claim, planned: PlannedStep, role: RoleSpec) -> Result:
        """Give a walk the result of the step that it believes to run now."""
        under_way = self._under_way.pop(claim.run.id, None)
        if under_way is None:
            return perform.run(claim, planned, role)
        return under_way.result()

    def _wait(self) -> list[Traveller]:
        """Wait until somebody's step is over, or its time; meanwhile tell of the long."""
        while True:
            over = set(self._over_until(self._next_look()))
            now = monotonic()
            due = {
                run_id: one.traveller
                for run_id, one in self._under_way.items()
                if run_id in over or one.deadline <= now
            }
            # Also when somebody has ended: short steps may follow each other for long.
            self._tell(
                [one for each, one in self._under_way.items() if each not in due], now
            )
            if due:
                return list(due.values())

    def _next_look(self) -> float:
        """Say when there is something to do though no step has ended."""
        return min(min(one.deadline, one.tell_at) for one in self._under_way.values())

    def _over_until(self, moment: float) -> Iterator[UUID]:
        """Wait for one that is over, and take all that are."""
        with suppress(Empty):
            yield self._over.get(timeout=max(moment - monotonic(), 0.0))
            while True:
                yield self._over.get_nowait()

    def _tell(self, waiting: Sequence[UnderWay], now: float) -> None:
        """Put on record that steps have begun, once they take their time."""
        long = [one for one in waiting if one.tell_at <= now]
        for one in long:
            one.tell_at = inf
        untold = [one.traveller for one in long]
        if untold:
            tell_together(untold)
            _announce(untold)

    def _comes_on(self, traveller: Traveller) -> bool:
        """
        Hear what a step came to; False if its execution goes its own way.

        A fault in one keeps nobody else from going on.
        """
        run_id = traveller.claim.run.id
        if this_worker().is_leaving:
            traveller.walk.warm_s = 0.0
        traveller.ended = monotonic()
        try:
            if self._asks(traveller):
                return True
            parting.go_on_behind(traveller)
        except UNREACHABLE:
            raise
        except Exception:
            log.exception("Execution %s is stuck.", traveller.walk.execution_id)
        finally:
            self._forget(run_id)
        return False

    def _asks(self, traveller: Traveller) -> bool:
        """Tell whether a step's end is recorded together with others'."""
        try:
            while asked := parting.come_on(traveller):
                if not isinstance(asked, Tell):
                    traveller.asks = asked
                    return True
                traveller.take_alone(asked)
        except ComeBack as again:
            parting.send_again(traveller, again)
        return False

    def _attend(self, ended: Sequence[Traveller]) -> None:
        """Record what ended, and begin what follows."""
        take_together(ended)
        leading_on = [each for each in ended if each.answer and each.answer.next]
        self._begin(leading_on)
        for each in ended:
            parting.send_on(each)
        parting.leave(ended)
        _announce(ended)

    def _forget(self, run_id: UUID) -> None:
        """End what nobody asked the result of."""
        under_way = self._under_way.pop(run_id, None)
        if under_way:
            under_way.abandon()

    def _disperse(self) -> None:
        """See that nobody is left behind when something went wrong here."""
        left = [one.traveller for one in self._under_way.values()]
        for each in left:
            self._forget(each.claim.run.id)
        if left:
            parting.hand_over(left)


def _announce(travellers: Sequence[Traveller]) -> None:
    for execution_id in {each.walk.execution_id for each in travellers}:
        announce(execution_id)


def wait_together(addresses: Sequence[Address], key: str) -> None:
    """
    Go with executions, or frames, from a step on, which awaits; begun ones are left.

    Who finds no room here is sent singly. Raises OperationalError or InterfaceError,
    and has begun nothing, when the database is away.
    """
    with room.for_some(len(addresses)) as places:
        for address in addresses[places.count :]:
            passage.send_members(address, [step_path(address.frame, key)])
        some = addresses[: places.count]
        travellers = departure.set_out(some, key, pool="io") if some else []
        Crowd(travellers=travellers, places=places).go()


def wait_for_members(address: Address, paths: Collection[str]) -> None:
    """Do the same with members of a parallel group of one execution."""
    members = list(paths)
    with room.for_some(len(members)) as places:
        some, rest = members[: places.count], members[places.count :]
        if rest:
            passage.send_members(address, rest)
        begun = batch.begun(address, some)
        if begun is None:
            return
        travellers = [
            departure.traveller(address, begun.known, claim, pool="io")
            for _, claim in begun.waiting
        ]
        Crowd(travellers=travellers, places=places).go()
