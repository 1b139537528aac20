"""
Start, stop and kill one embedded server, for `up` and for the tests' faults.

A server object says how it is prepared and when it is ready; this module owns the
process.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Protocol

from config.dev.guard import Guard
from config.dev.process import Child, Spec, ending, rotate
from config.dev.terminal import DevError, tail

START_SECONDS = 60.0
POLL_SECONDS = 0.01


class Server(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def passing_trouble(self) -> str | None: ...
    def prepare(self) -> None: ...
    def spec(self) -> Spec: ...
    def ready(self, pid: int) -> bool: ...
    def wipe(self) -> None: ...


def never_stopped() -> None:
    """Check nothing: this owner takes no stop signals."""


class Running:
    """
    A server together with its process.

    `tied` also binds the process to the calling thread's life; leave it off in a
    program with threads, where the guard alone cleans up.
    """

    def __init__(self, server: Server, guard: Guard, *, tied: bool = False) -> None:
        self.server = server
        self._guard = guard
        self._tied = tied
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def child(self) -> Child:
        if self._child is None:
            raise DevError(f"{self.server.name} is not running; call start() first.")
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(
        self, *, empty: bool = False, check: Callable[[], None] = never_stopped
    ) -> None:
        """Return when it accepts connections. `empty` drops all it had stored."""
        if self.alive:
            return
        if empty:
            self.server.wipe()
        deadline = time.monotonic() + START_SECONDS
        while not self._attempt(deadline, check):
            check()

    def _attempt(self, deadline: float, check: Callable[[], None]) -> bool:
        """Start once; False when another attempt may succeed."""
        self.server.prepare()
        spec = self.server.spec()
        rotate(spec.log)
        self._child = child = Child(spec, self._guard, tied=self._tied)
        while (code := child.wait(POLL_SECONDS)) is None:
            check()
            if self.server.ready(child.pid):
                return True
            if time.monotonic() > deadline:
                child.finish()
                raise DevError(self._failed(f"was not ready in {START_SECONDS:.0f} s"))
        child.finish()
        trouble = self.server.passing_trouble
        if trouble and trouble in tail(spec.log, 5) and time.monotonic() < deadline:
            return False
        raise DevError(self._failed(ending(code)))

    def _failed(self, what: str) -> str:
        log = self.server.spec().log
        return f"{self.server.name} {what}. The end of {log}:\n{tail(log)}"

    def stop(self) -> None:
        """Let it finish in order; clients are disconnected."""
        if self._child is None:
            return
        self._child.ask_to_stop()
        self._child.wait(self._child.spec.grace)
        self._child.finish()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._child is None:
            return
        self._child.signal(signal.SIGKILL)
        self._child.finish()
