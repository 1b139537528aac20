"""
An execution's events played again, in order, against what may follow what.

A step is settled by its one terminal event and opened again by `step.reset`; an
execution by `execution.retried`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SETTLES = {
    "step.completed",
    "step.failed",
    "step.timed_out",
    "step.skipped",
    "step.cancelled",
}
ENDS = {
    "execution.completed",
    "execution.failed",
    "execution.cancelled",
    "execution.timed_out",
}


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    path: str | None
    data: Mapping[str, Any]


@dataclass(slots=True)
class Replay:
    """`blocks` are the steps' paths in order, those of a group together."""

    blocks: list[set[str]]
    settled: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    over: str | None = None

    def problems(self, events: Iterable[Event]) -> Iterator[str]:
        for event in events:
            yield from self._take(event)

    def _take(self, event: Event) -> Iterator[str]:
        path = event.path or ""
        if event.type in ENDS:
            yield from self._end(event.type)
        elif event.type == "execution.retried":
            self.over = None
        elif event.type == "step.reset":
            self.settled.pop(path, None)
        elif event.type == "step.started":
            yield from self._start(path, event.data)
        elif event.type in SETTLES:
            yield from self._settle(path, event.type)

    def _end(self, kind: str) -> Iterator[str]:
        if self.over:
            yield f"ended twice: {self.over}, then {kind}"
        self.over = kind

    def _start(self, path: str, data: Mapping[str, Any]) -> Iterator[str]:
        if self.over:
            yield f"step {path} started after {self.over}"
        if path in self.settled:
            yield f"step {path} started after its own {self.settled[path]}"
        missing = self._before(path) - self.settled.keys()
        if missing:
            yield f"step {path} started before {', '.join(sorted(missing))} had ended"
        number = int(data.get("attempt", 0))
        if number <= self.attempts.get(path, 0):
            yield f"step {path} started attempt {number} twice"
        self.attempts[path] = number

    def _settle(self, path: str, kind: str) -> Iterator[str]:
        if path in self.settled:
            yield f"step {path} ended twice: {self.settled[path]}, then {kind}"
        self.settled[path] = kind

    def _before(self, path: str) -> set[str]:
        """What must have ended first; nothing is known of steps made at run time."""
        before: set[str] = set()
        for block in self.blocks:
            if path in block:
                return before
            before |= block
        return set()
