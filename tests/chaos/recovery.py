"""
How long it took until what a fault struck went on, read from the events.

A step that a killed or frozen process ran has recovered when it runs again or is
settled; an execution whose messages were away, when a step of it starts or it ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.faults import Hit
from tests.faults.replay import ENDS, SETTLES

_GOES_ON = SETTLES | {"step.started", "step.needs_attention"}
# Somebody steered: it is not to go on, or not at once.
_STEERED = {
    "execution.paused",
    "execution.resumed",
    "execution.cancel_requested",
    "execution.retried",
}

OF_STEPS = {"kill_child", "kill_worker", "deploy", "freeze_long"}
OF_EXECUTIONS = {"wipe_valkey", "stop_valkey"}


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, with the time at which it was written."""

    execution: str
    path: str | None
    type: str
    at: datetime


@dataclass(slots=True)
class Recoveries:
    """Seconds of each that recovered, and what never did."""

    seconds: list[float] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """All events, in the order of their times."""

    _all: list[Happened]
    _by_execution: Mapping[str, list[Happened]]

    @classmethod
    def of(cls, events: Iterable[Happened]) -> History:
        ordered = sorted(events, key=lambda event: event.at)
        by_execution: defaultdict[str, list[Happened]] = defaultdict(list)
        for event in ordered:
            by_execution[event.execution].append(event)
        return cls(ordered, by_execution)

    def recoveries(self, hit: Hit) -> Recoveries:
        """Measure what a fault's kind promises something about."""
        kind, found = hit.fault.kind, Recoveries()
        if kind in OF_STEPS:
            for execution, path in sorted(hit.steps):
                self._step(hit, execution, path, found)
        elif kind in OF_EXECUTIONS:
            for execution in sorted(hit.executions):
                self._execution(hit, execution, found)
        elif kind == "stop_postgres":
            self._anything(hit, found)
        elif kind == "kill_web":
            found.seconds.append((hit.returned - hit.began).total_seconds())
        return found

    def _step(self, hit: Hit, execution: str, path: str, found: Recoveries) -> None:
        if not self._ran(hit.began, execution, path):
            return  # it ended just before it was struck
        for event in self._after(hit.began, execution):
            if event.type in _STEERED:
                return
            if event.type in ENDS or (event.path == path and event.type in _GOES_ON):
                found.seconds.append((event.at - hit.began).total_seconds())
                return
        found.missing.append(f"step {path} of execution {execution}")

    def _ran(self, moment: datetime, execution: str, path: str) -> bool:
        events = self._by_execution.get(execution, [])
        before = events[: bisect_right(events, moment, key=lambda event: event.at)]
        own = [event.type for event in before if event.path == path]
        return bool(own) and own[-1] == "step.started"

    def _execution(self, hit: Hit, execution: str, found: Recoveries) -> None:
        if self._was_over(hit.returned, execution):
            return  # it needed none of the messages that were lost
        for event in self._after(hit.returned, execution):
            if event.type in _STEERED:
                return
            if event.type in ENDS or event.type == "step.started":
                found.seconds.append((event.at - hit.returned).total_seconds())
                return
        found.missing.append(f"execution {execution}")

    def _was_over(self, moment: datetime, execution: str) -> bool:
        over = False
        for event in self._by_execution.get(execution, []):
            if event.at > moment:
                break
            over = event.type in ENDS or (over and event.type not in _STEERED)
        return over

    def _anything(self, hit: Hit, found: Recoveries) -> None:
        for event in _later(self._all, hit.returned):
            if event.type in SETTLES:
                found.seconds.append((event.at - hit.returned).total_seconds())
                return
        found.missing.append("any step")

    def _after(self, moment: datetime, execution: str) -> Iterator[Happened]:
        return _later(self._by_execution.get(execution, []), moment)


def _later(events: list[Happened], moment: datetime) -> Iterator[Happened]:
    start = bisect_right(events, moment, key=lambda event: event.at)
    return iter(events[start:])
