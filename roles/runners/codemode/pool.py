"""
The worker processes of the sandbox: made at the first program of a process.

One pool serves all event loops and threads of a process. The library's threads do not
live through a fork: a child of a process that ran a program cannot run any.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_monty import AsyncMonty, AsyncMontySession

from roles.runners.base import RunnerError

PROCESSES = 2
WAIT_S = 60.0  # for a free worker
PROGRAMS_PER_PROCESS = 200
SETTLING_S = 0.1
_NOT_STARTED = (OSError, RuntimeError)


class _State:
    processes = PROCESSES
    pool: AsyncMonty | None = None
    first_pid: int | None = None  # of the process that ran the first program
    used_at = 0.0


_lock = threading.Lock()


def configure(*, processes: int) -> None:
    """Set how many programs of this process run at once; before the first of them."""
    if processes < 1:
        raise ValueError("The sandbox needs one process at least.")
    _State.processes = processes


@asynccontextmanager
async def session(**checkout: Any) -> AsyncIterator[AsyncMontySession]:
    """
    Lend a worker, with nothing left of earlier programs.

    Raises RunnerError, retryable: no worker was free in time, or none can be started.
    """
    pool = await _pool()
    lent = pool.checkout(**checkout)
    try:
        entered = await lent.__aenter__()
    except TimeoutError:
        raise RunnerError(
            f"The sandbox had no free worker for {WAIT_S:g} s; all run programs.",
            type="sandbox_busy",
            retryable=True,
        ) from None
    except _NOT_STARTED as failure:
        raise _unavailable(failure) from failure
    try:
        yield entered
    finally:
        await lent.__aexit__(None, None, None)
        _State.used_at = time.monotonic()


async def close() -> None:
    """End the worker processes; a later program makes new ones."""
    with _lock:
        pool, _State.pool = _State.pool, None
    if pool is not None and _State.first_pid == os.getpid():
        await pool.__aexit__(None, None, None)
        _State.used_at = time.monotonic()


async def _pool() -> AsyncMonty:
    _refuse_after_fork()
    if _State.pool is not None:
        return _State.pool
    try:
        made = AsyncMonty(
            min_processes=1,
            max_processes=_State.processes,
            checkout_timeout=WAIT_S,
            max_checkouts_per_worker=PROGRAMS_PER_PROCESS,
        )
        await made.__aenter__()
    except _NOT_STARTED as failure:
        raise _unavailable(failure) from failure
    return await _kept(made)


async def _kept(made: AsyncMonty) -> AsyncMonty:
    """Keep a new pool, unless another thread was faster."""
    with _lock:
        if _State.pool is None:
            _State.pool = made
        kept = _State.pool
    if kept is not made:
        await made.__aexit__(None, None, None)
    return kept


def _unavailable(failure: Exception) -> RunnerError:
    return RunnerError(
        f"The sandbox cannot be started: {failure}",
        type="sandbox_unavailable",
        retryable=True,
    )


def _refuse_after_fork() -> None:
    """Say so instead of waiting for ever for threads that the fork left behind."""
    with _lock:
        if _State.first_pid is None:
            _State.first_pid = os.getpid()
    if _State.first_pid != os.getpid():
        raise RunnerError(
            "The sandbox was used before this process was forked, and cannot be used "
            "in it. Run programs only after the fork.",
            type="sandbox_unavailable",
            retryable=True,
        )


@atexit.register
def _settle() -> None:
    """Let the library's threads finish: one that needs Python at its end aborts."""
    if time.monotonic() - _State.used_at < 1 and _State.first_pid == os.getpid():
        threading.Event().wait(SETTLING_S)
