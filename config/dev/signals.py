"""
Stop signals and the deaths of children, turned into wake-ups of one wait.

Handlers only count; what follows happens at the places that call `wait` or
`check`, so a stop never tears a half-made step.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

from config.dev.terminal import StoppedError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    def __init__(self) -> None:
        self.stops = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def install(self) -> None:
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in STOPPING:
            # `nohup` asked for life beyond the terminal: leave that as it is.
            ignored = signal.getsignal(number) == signal.SIG_IGN
            if not (ignored and number == signal.SIGHUP):
                signal.signal(number, self._count)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def wait(self, seconds: float) -> None:
        """Return after the time, or at once when a signal arrives."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        if ready:
            os.read(self._read, 4096)

    def check(self) -> None:
        """Raise StoppedError once a stop signal has arrived."""
        if self.stops:
            raise StoppedError
