"""
One child process: how it is described, started and ended.

Each child leads its own session, so a signal to its group reaches everything it
has started and Ctrl-C at the terminal reaches only the supervisor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.dev.account import Account
from config.dev.guard import Guard

SERVER_TIER, APPLICATION_TIER = 0, 1
ORPHAN_GRACE = 2.0
LOG_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to run. Children of a higher tier are stopped before lower ones."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    tier: int = APPLICATION_TIER

    @property
    def death_signal(self) -> signal.Signals:
        """What the kernel sends when the supervisor dies: servers close their files."""
        return signal.SIGKILL if self.tier == APPLICATION_TIER else self.stop_signal

    @property
    def orphan_grace(self) -> float:
        """Seconds to stop in when the supervisor itself was killed."""
        return ORPHAN_GRACE if self.tier == APPLICATION_TIER else self.grace


def dying_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """
    Make a `preexec_fn` that ties a child to its parent, if the kernel can.

    Only for a parent without threads, which starts children from its main thread.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()
    set_parent_death_signal = 1

    def tie() -> None:
        prctl(set_parent_death_signal, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie


class Child:
    """
    A started Spec.

    Standard output joins the log unless `output` takes it. `tied` binds the child
    to the life of the calling thread, see `dying_with_parent`.
    """

    def __init__(
        self,
        spec: Spec,
        guard: Guard,
        *,
        tied: bool,
        output: IO[bytes] | None = None,
    ) -> None:
        self.spec = spec
        self.started = time.monotonic()
        self._guard = guard
        self._process = _spawn(spec, tied=tied, output=output)
        guard.watch(
            self.pid,
            stop_signal=spec.stop_signal,
            grace=spec.orphan_grace,
            tier=spec.tier,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        return time.monotonic() - self.started

    def wait(self, seconds: float) -> int | None:
        """Return the exit code if the child ends within the time."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def poll(self) -> int | None:
        return self._process.poll()

    def ask_to_stop(self) -> None:
        self.signal(self.spec.stop_signal)

    def signal(self, number: int) -> None:
        if self.poll() is None:
            self._process.send_signal(number)

    def finish(self) -> None:
        """Kill what is left of the group, reap, and release the guard."""
        if self.poll() is None:
            self._kill_group()
            self._process.wait()
        self._kill_group()
        self._guard.forget(self.pid)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _spawn(
    spec: Spec, *, tied: bool, output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    account = spec.account
    with spec.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            spec.command,
            cwd=spec.cwd,
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            stdout=output or log,
            stderr=log,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=dying_with_parent(spec.death_signal) if tied else None,
        )


def rotate(log: Path) -> None:
    """Set a log aside that has grown large; called before a child starts."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def ending(code: int) -> str:
    """Put an exit code into words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
