"""
Room for steps that come many to a message: a process takes no more than it has slots.

Whoever takes a message's steps beyond the first takes their slots, too, and has the
broker give the process that many messages less meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executions.worker.leases import this_worker

# Has the broker give this process some messages more than before.
Widen = Callable[[int], None]
# Has the broker give this process some messages less; returned is what undoes that.
Narrow = Callable[[int], Widen]


class Room:
    """The slots of one process that are taken by company."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()
        self._narrow: Narrow = lambda _count: lambda _count: None

    def narrow_with(self, narrow: Narrow) -> None:
        self._narrow = narrow

    @contextmanager
    def for_some(self, wanted: int) -> Iterator[Places]:
        """Take slots for so many steps, or for as many as are free: at least one."""
        count = self._take(wanted)
        try:
            places = Places(self, count, self._narrow(count - 1))
        except BaseException:
            self.give_back(count)
            raise
        try:
            yield places
        finally:
            places.keep(1)
            self.give_back(1)

    def _take(self, wanted: int) -> int:
        worker = this_worker()
        with self._lock:
            free = worker.slots - max(self._taken, worker.busy)
            count = max(1, min(wanted, free))
            self._taken += count
            return count

    def give_back(self, count: int) -> None:
        with self._lock:
            self._taken -= count


class Places:
    """The slots that a message's steps have; one of them is the message's own."""

    def __init__(self, room: Room, count: int, widen: Widen) -> None:
        self.count = count
        self._room = room
        self._widen = widen

    def keep(self, count: int) -> None:
        """Leave to others what is more than so many, since that many steps are left."""
        left = self.count - max(count, 1)
        if left > 0:
            self.count -= left
            self._room.give_back(left)
            self._widen(left)


room = Room()
