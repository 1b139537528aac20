"""
Who runs on a data folder: two locks, and `run.json` for whoever wants to connect.

The first lock belongs to `dev.py` alone and tells whether it runs. The second is
shared with its guard: while that is held, an earlier run is still being cleared
away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from config.dev.layout import Data, shown, write_private
from config.dev.terminal import DevError

CLEARING_SECONDS = 40.0


@contextlib.contextmanager
def held(data: Data, rest: Callable[[float], None]) -> Iterator[int]:
    """Own the data folder; yields the lock that the guard has to share."""
    with _opened(data.lock) as mine, _opened(data.path / "guard.lock") as shared:
        if not _taken(mine):
            raise DevError(_who_runs(data))
        os.ftruncate(mine, 0)
        os.pwrite(mine, str(os.getpid()).encode(), 0)
        deadline = time.monotonic() + CLEARING_SECONDS
        while not _taken(shared):
            if time.monotonic() > deadline:
                raise DevError(
                    f"An earlier run on {shown(data.path)} was killed and its "
                    "processes do not end. Look for them with: ps -e f"
                )
            rest(0.1)
        data.run_file.unlink(missing_ok=True)
        yield shared


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise DevError(
            f"{shown(path.parent)} belongs to another user. Run the command as its "
            "owner, or name another folder with --data DIR."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_running(data: Data) -> bool:
    if not data.lock.exists():
        return False
    with _opened(data.lock) as descriptor:
        return not _taken(descriptor)


def _who_runs(data: Data) -> str:
    where = shown(data.path)
    pid = data.lock.read_text().strip() or "unknown"
    run = read(data)
    if run is None:
        return (
            f"An installation on {where} is being started or stopped (process {pid})."
        )
    return (
        f"Already running on {where}: {run['url']} (process {pid}). "
        f"Stop it with `kill {pid}`, or start another with --data DIR --port N."
    )


def read(data: Data) -> dict[str, Any] | None:
    try:
        run: dict[str, Any] = json.loads(data.run_file.read_text())
    except (OSError, ValueError):
        return None
    return run


def write(data: Data, run: dict[str, Any]) -> None:
    write_private(data.run_file, json.dumps(run, indent=2) + "\n")
