"""
A thread that looks after a batch whose worker is stuck in one long step.

Those who stand behind that step are sent on their own, and what is done is recorded,
while the step goes on undisturbed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Protocol

log = logging.getLogger(__name__)

PATIENCE_S = 0.03  # how long one step may keep others waiting
_STEPS = 4  # how many times as long all of them together may
_LOOK_EVERY_S = 0.01


def is_too_long(*, step_began: float | None, began: float) -> bool:
    """Tell whether others have waited long enough for a step, or for all of them."""
    now = monotonic()
    if step_began is not None and now - step_began > PATIENCE_S:
        return True
    return now - began > _STEPS * PATIENCE_S


class Relievable(Protocol):
    @property
    def is_late(self) -> bool: ...

    def hand_over(self) -> None: ...


class Relief:
    """The thread of one process; it sleeps while there is no batch."""

    def __init__(self) -> None:
        self._watched: list[Relievable] = []  # one, unless steps run in threads
        self._begun = threading.Event()
        self._pause = threading.Event()  # never set
        threading.Thread(target=self._live, name="relief", daemon=True).start()

    @contextmanager
    def watching(self, batch: Relievable) -> Iterator[None]:
        self._watched.append(batch)
        self._begun.set()
        try:
            yield
        finally:
            self._leave(batch)

    def _leave(self, batch: Relievable) -> None:
        with suppress(ValueError):  # it has been relieved
            self._watched.remove(batch)

    def _live(self) -> None:
        while self._begun.wait():
            self._begun.clear()
            while self._watched:
                self._pause.wait(_LOOK_EVERY_S)
                for batch in tuple(self._watched):
                    self._look_at(batch)

    def _look_at(self, batch: Relievable) -> None:
        try:
            if batch.is_late:
                batch.hand_over()
                self._leave(batch)  # nothing can wait in it any more
        except Exception:
            log.exception("A batch could not be relieved.")


_reliefs: dict[int, Relief] = {}


def this_relief() -> Relief:
    """Return this process's thread, started at its first use."""
    pid = os.getpid()
    if pid not in _reliefs:
        _reliefs.clear()  # a thread does not live on in a child
        _reliefs[pid] = Relief()
    return _reliefs[pid]
