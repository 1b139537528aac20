"""
The parent's side of the protocol: one driver, from its start to its end.

Whatever the driver leaves behind is killed, also what has left its session.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.measuring.processes import Processes
from benchmarks.systems import System
from benchmarks.venvs import Installed
from config.dev.guard import Guard
from config.dev.terminal import tail

START_S, ANSWER_S, STOP_S = 180, 600, 40
ORPHAN_S, REAP_S, LOOK_S = 5.0, 5.0, 0.2
SHOWN_LINES = 8


class DriverError(Exception):
    """A driver that did not start, did not answer or has ended."""


class Driver:
    """A running driver; use it as a context, and ask it one thing at a time."""

    def __init__(
        self,
        system: System,
        installed: Installed,
        env: Mapping[str, str],
        *,
        log: Path,
        guard: Guard,
    ) -> None:
        self._log, self._guard = log, guard
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = _spawn(system, installed, env, log)
        guard.watch(self.pid, stop_signal=signal.SIGTERM, grace=ORPHAN_S, tier=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._family: set[tuple[int, str]] = set()
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def roots(self) -> dict[str, list[int]]:
        return dict(self.ready["processes"])

    def __enter__(self) -> Self:
        try:
            self.ready = self._answer(START_S)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have one repetition done."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer is that it has ended
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._answer(ANSWER_S)

    def stop(self) -> None:
        """Close its input and give it time; then kill what is left."""
        assert self._process.stdin is not None
        self._note_family()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._note_family()
        self._kill_family()
        self._process.wait()
        self._reader.join(REAP_S)
        self._guard.forget(self.pid)

    def _note_family(self) -> None:
        """Remember who descends from it: when it has died, nothing else tells."""
        self._family |= Processes.now().family(self.pid)

    def _kill_family(self) -> None:
        starts = Processes.now().starts
        for pid, start in self._family:
            if starts.get(pid) == start:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _answer(self, seconds: float) -> dict[str, Any]:
        line = self._line(seconds)
        if not line:
            told = tail(self._log, SHOWN_LINES)
            raise DriverError(f"the driver has ended:\n{told}")
        self._note_family()
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise DriverError(f"this is no answer: {line.strip()}") from error

    def _line(self, seconds: float) -> str:
        """Wait for a line; an orphan may hold the pipe of a driver that has died."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            try:
                return self._lines.get(timeout=LOOK_S)
            except queue.Empty:
                if ended:
                    return ""
        raise DriverError(f"no answer within {seconds} s")


def _spawn(
    system: System, installed: Installed, env: Mapping[str, str], log: Path
) -> subprocess.Popen[str]:
    with log.open("ab") as errors:
        return subprocess.Popen(
            [str(installed.python), "driver.py"],
            cwd=system.folder,
            env={**env, **system.env, **installed.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
