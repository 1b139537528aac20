"""
An execution's events played again, in order, against what may follow what.

A step is settled by its one terminal event and opened again by `step.reset`; an
execution by `execution.retried` and, to be undone, `execution.rollback_requested`.

A step in a body stands in a frame: it begins after the step that holds the body, never
after that one's end, and after what stands before it in the same frame.
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
REOPENS = {"execution.retried", "execution.rollback_requested"}


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    path: str | None
    data: Mapping[str, Any]


@dataclass(slots=True)
class Replay:
    """
    `blocks` are the steps' paths in order, those of a group together.

    `bodies` maps the key of a step that holds a body to the body's blocks of keys, each
    with the branch that it belongs to.
    """

    blocks: list[set[str]]
    bodies: Mapping[str, list[tuple[str | None, set[str]]]] = field(
        default_factory=dict
    )
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
        elif event.type in REOPENS:
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
        holder = _holder(path)
        if holder and holder not in self.attempts:
            yield f"step {path} started, {holder} around it did not"
        if holder in self.settled:
            yield f"step {path} started after {holder} around it had ended"
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
        if "/" in path:
            return self._before_inside(path)
        before: set[str] = set()
        for block in self.blocks:
            if path in block:
                return before
            before |= block
        return set()

    def _before_inside(self, path: str) -> set[str]:
        frame, _, key = path.rpartition("/")
        container, _, name = frame.rpartition("[")
        before: set[str] = set()
        for branch, block in self.bodies.get(container.rpartition("/")[2], []):
            if key in block:
                return {f"{frame}/{each}" for each in before}
            if branch in (None, name[:-1]):
                before |= block
        return set()


def _holder(path: str) -> str | None:
    """Name the step around a step; what is done after a failure has none."""
    frame = path.rpartition("/")[0]
    container = frame.rpartition("[")[0]
    return None if container in ("", "@unwind", "@rollback") else container
