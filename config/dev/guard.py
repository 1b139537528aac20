"""
A process that outlives its owner just long enough to leave nothing behind.

It reads from a pipe which process groups its owner has started. When the pipe
closes, however the owner ended, it stops those groups tier by tier. Pool children
of a worker, which the kernel's parent-death signal does not reach, die this way.
It may inherit the owner's lock, so the next start waits until all is gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


class Guard:
    """The owner's end. Everything it was told is told again to a new process."""

    def __init__(self, *, keep_open: tuple[int, ...] = ()) -> None:
        self._keep_open = keep_open
        self._notes: dict[str, str] = {}
        self._process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=self._keep_open,
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, group: int, *, stop_signal: int, grace: float, tier: int) -> None:
        """Stop this process group if the owner dies; higher tiers stop first."""
        line = f"watch {group} {stop_signal} {grace} {tier}"
        self._notes[f"group {group}"] = line
        self._send(line)

    def forget(self, group: int) -> None:
        self._notes.pop(f"group {group}", None)
        self._send(f"forget {group}")

    def remove_later(self, folder: Path) -> None:
        """Delete this folder at the end, whether the owner ends well or not."""
        self._notes[f"folder {folder}"] = f"remove {folder}"
        self._send(f"remove {folder}")

    def revive(self) -> None:
        """Replace a guard that somebody has killed."""
        if self._process.poll() is None:
            return
        self._close_pipe()
        self._process = self._launch()
        for line in self._notes.values():
            self._send(line)

    def close(self) -> None:
        """Let go, and wait until the guard has cleaned up what is still noted."""
        self._close_pipe()
        self._process.wait()

    def _send(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        # A guard that has died is told everything again by `revive`.
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe.fileno(), line.encode() + b"\n")

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


class Notes:
    """The guard's end: what it has been told so far."""

    def __init__(self) -> None:
        self.groups: dict[int, tuple[int, float, int]] = {}
        self.folders: list[str] = []

    def take(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "watch":
            group, number, grace, tier = rest.split()
            self.groups[int(group)] = (int(number), float(grace), int(tier))
        elif word == "forget":
            self.groups.pop(int(rest), None)
        elif word == "remove":
            self.folders.append(rest)

    def sweep(self) -> None:
        for tier in sorted({tier for _, _, tier in self.groups.values()}, reverse=True):
            self._stop_tier(tier)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _stop_tier(self, tier: int) -> None:
        members = {g: n for g, n in self.groups.items() if n[2] == tier}
        for group, (number, _, _) in members.items():
            _signal_group(group, number)
        deadline = time.monotonic() + max(grace for _, grace, _ in members.values())
        while time.monotonic() < deadline and any(map(_lives, members)):
            threading.Event().wait(0.05)
        for group in members:
            _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _lives(group: int) -> bool:
    return _signal_group(group, 0)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    notes = Notes()
    for line in sys.stdin:
        notes.take(line)
    notes.sweep()


if __name__ == "__main__":
    main()
