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

# Has the broker give this process some messages less; what it returns undoes that.
Narrow = Callable[[int], Callable[[], None]]


class Room:
    """The slots of one process that are taken by company."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()
        self._narrow: Narrow = lambda _count: lambda: None

    def narrow_with(self, narrow: Narrow) -> None:
        self._narrow = narrow

    @contextmanager
    def for_some(self, wanted: int) -> Iterator[int]:
        """Take slots for so many steps, or for as many as are free: at least one."""
        count = self._take(wanted)
        try:
            widen = self._narrow(count - 1)
            try:
                yield count
            finally:
                widen()
        finally:
            with self._lock:
                self._taken -= count

    def _take(self, wanted: int) -> int:
        worker = this_worker()
        with self._lock:
            free = worker.slots - max(self._taken, worker.busy)
            count = max(1, min(wanted, free))
            self._taken += count
            return count


room = Room()
