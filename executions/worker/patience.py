"""
Hold on to what a worker knows while the database is away.

A result that is ready, and a claim that may have been made, are not given up for an
outage: the statement is repeated until it is answered or the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from executions.database import UNREACHABLE

log = logging.getLogger(__name__)
T = TypeVar("T")

_EVERY_S = 0.5
_process_ends = Event()


def insist(action: Callable[[], T]) -> T:
    """Repeat a read, or a guarded write, until the database answers."""
    return insist_and_tell(action)[0]


def insist_and_tell(action: Callable[[], T]) -> tuple[T, bool]:
    """
    Repeat until the database answers, and tell whether it took repeating.

    Then the answer may be that of a repetition: a guarded write that did commit, but
    whose reply was lost, changes nothing the second time.
    """
    repeated = False
    while True:
        try:
            return action(), repeated
        except UNREACHABLE as error:
            log.warning("Waiting for PostgreSQL: %s", error)
            if _process_ends.wait(_EVERY_S):
                raise
            repeated = True


def let_go() -> None:
    """Stop waiting: the process ends, and what it holds is recovered by others."""
    _process_ends.set()
