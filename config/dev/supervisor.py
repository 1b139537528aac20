"""
Keep children running: notice a death, wait a little longer each time, restart.

The decision how long to wait is a function of its own; `tick` acts on it. Nothing
here blocks, so the owner stays free to react to stop signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config.dev.guard import Guard
from config.dev.process import Child, Spec, ending, rotate
from config.dev.signals import Signals
from config.dev.terminal import DevError

LONGEST_DELAY = 30.0
SETTLED_SECONDS = 60.0
IDLE_SECONDS = 0.5


def restart_delay(failures: int) -> float:
    """Return the seconds to wait after so many deaths in a row: 1, 2, 4 … 30."""
    return min(LONGEST_DELAY, 2.0 ** (max(1, failures) - 1))


@dataclass(slots=True)
class Slot:
    spec: Spec
    prepare: Callable[[], None] | None
    child: Child | None = None
    failures: int = 0
    due: float = field(default=0.0)


class Supervisor:
    """`report` takes a line for the terminal; `changed` hears of every new pid."""

    def __init__(
        self,
        guard: Guard,
        signals: Signals,
        *,
        report: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._guard = guard
        self._signals = signals
        self._report = report
        self._changed = changed
        self._slots: list[Slot] = []

    def adopt(self, child: Child, prepare: Callable[[], None]) -> None:
        """Take over a server that is running already."""
        self._slots.append(Slot(child.spec, prepare, child))

    def start(self, spec: Spec) -> Child:
        slot = Slot(spec, None)
        self._slots.append(slot)
        rotate(spec.log)
        slot.child = Child(spec, self._guard, tied=True)
        return slot.child

    def pids(self) -> dict[str, int]:
        return {s.spec.name: s.child.pid for s in self._slots if s.child}

    def tick(self) -> None:
        """Restart what has died and is due, then rest until something may happen."""
        self._guard.revive()
        for slot in self._slots:
            self._look_after(slot)
        waiting = [slot.due for slot in self._slots if slot.child is None]
        rest = min([IDLE_SECONDS, *(due - time.monotonic() for due in waiting)])
        self._signals.wait(rest)

    def _look_after(self, slot: Slot) -> None:
        if slot.child is None:
            if time.monotonic() >= slot.due:
                self._restart(slot)
            return
        code = slot.child.poll()
        if code is not None:
            self._bury(slot, slot.child, code)

    def _bury(self, slot: Slot, child: Child, code: int) -> None:
        child.finish()
        slot.child = None
        if child.age >= SETTLED_SECONDS:
            slot.failures = 0
        self._postpone(slot, f"{ending(code)} after {child.age:.0f} s")

    def _restart(self, slot: Slot) -> None:
        try:
            if slot.prepare:
                slot.prepare()
            rotate(slot.spec.log)
            slot.child = Child(slot.spec, self._guard, tied=True)
        except (DevError, OSError) as error:
            self._postpone(slot, f"did not start: {error}")
        else:
            self._changed()

    def _postpone(self, slot: Slot, why: str) -> None:
        slot.failures += 1
        delay = restart_delay(slot.failures)
        slot.due = time.monotonic() + delay
        self._report(
            f"{slot.spec.name} {why}; again in {delay:.0f} s (log: {slot.spec.log})"
        )

    def stop(self) -> None:
        """Stop in reverse order, tier by tier; one more stop signal hurries it."""
        running = [slot.child for slot in reversed(self._slots) if slot.child]
        self._slots.clear()
        stops = self._signals.stops
        for tier in sorted({child.spec.tier for child in running}, reverse=True):
            self._stop_all([c for c in running if c.spec.tier == tier], stops)

    def _stop_all(self, children: list[Child], stops: int) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + max(child.spec.grace for child in children)
        while any(child.poll() is None for child in children):
            if time.monotonic() > deadline or self._signals.stops > stops:
                break
            self._signals.wait(0.1)
        for child in children:
            child.finish()
