"""Keep the beginning of what a program prints, and stop one that prints without end."""

from __future__ import annotations

import asyncio
from typing import Literal

TIMES = 20  # the program is stopped when it printed so often what is kept


class Printed:
    """Takes what a program prints, from any thread."""

    def __init__(self, most: int) -> None:
        self._most, self._kept, self._total = most, 0, 0
        self._pieces: list[str] = []
        self._notes: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock: asyncio.Timeout | None = None

    def watch(self, clock: asyncio.Timeout) -> None:
        """Let this clock run out when far too much is printed."""
        self._loop, self._clock = asyncio.get_running_loop(), clock

    def __call__(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        self._total += len(text)
        if self._kept < self._most:
            self._pieces.append(text[: self._most - self._kept])
            self._kept += len(self._pieces[-1])
        if self.is_endless and self._loop is not None:
            loop, self._loop = self._loop, None
            loop.call_soon_threadsafe(self._stop)

    def note(self, text: str) -> None:
        """Add a line of the host's own, which is never left out."""
        self._notes.append(text)

    @property
    def is_endless(self) -> bool:
        return self._total > self._most * TIMES

    @property
    def text(self) -> str:
        """What was printed, with a note where the rest was left out."""
        more = self._total - self._kept
        left_out = [f"({more} more characters left out)"] if more else []
        text, notes = "".join(self._pieces), [*left_out, *self._notes]
        if text and notes and not text.endswith("\n"):
            text += "\n"
        return text + "\n".join(notes)

    def _stop(self) -> None:
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(0)
