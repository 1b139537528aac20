"""
Several executions of one version that walk together, for one message.

They go from step to step abreast: each does its step, and then all ends are recorded
and all next steps claimed in one statement, so that a step costs a fraction of one. An
execution whose step turns out to be long holds up nobody: the others are handed over
to messages of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from executions.announce import announce
from executions.signatures import Address
from executions.worker import departure, parting
from executions.worker.abreast import Traveller, take_together
from executions.worker.beginning import ComeBack
from executions.worker.relief import is_too_long, this_relief
from executions.worker.transitions import SettleAndClose, Tell, Transition


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
    _left: list[Traveller] = field(default_factory=list)  # whose frames have ended
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
        left, self._left = self._left, []
        parting.leave(left)

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
            while asked := parting.come_on(traveller):
                if self._waits(traveller, asked):
                    return
        except ComeBack as again:
            parting.send_again(traveller, again)
        with self._lock:
            self._at = None
        if traveller.arrived and traveller.arrived.left:
            self._leave(traveller)
        else:
            parting.go_on_behind(traveller)

    def _leave(self, traveller: Traveller) -> None:
        """Have a frame's end heard of: with others', or now if it may end theirs."""
        if isinstance(traveller.last, SettleAndClose):
            self._left.append(traveller)
            return
        parting.leave([traveller])
        with self._lock:
            self.travellers = parting.still_on_their_way(self.travellers)

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
            parting.hand_over(waiting)


def walk_together(addresses: Sequence[Address], key: str) -> None:
    """
    Walk with executions, or frames of one, from a step on: those that have not begun it.

    Raises OperationalError or InterfaceError, and has done nothing, when the database
    is away.
    """
    try:
        Convoy(departure.set_out(addresses, key)).go()
    finally:
        for execution in {address.execution for address in addresses}:
            announce(UUID(execution))
