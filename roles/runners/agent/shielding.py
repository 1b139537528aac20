"""Finish what must be finished, however often the attempt is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from anyio import CancelScope

T = TypeVar("T")

GRACE_S = 5.0


async def surely(
    work: Coroutine[Any, Any, T], *, grace_s: float = GRACE_S
) -> tuple[T, asyncio.CancelledError | None]:
    """
    Return what `work` came to, and the cancellation that came in between, if one did.

    The caller raises it when all is put right. Work that lasts longer than `grace_s`
    seconds after a cancellation is given up, and the cancellation is raised, as it is
    when the work fails; without one, what the work fails with is raised.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError as cancelled:
        # The library's task groups cancel again and again until somebody gives in.
        with CancelScope(shield=True):
            await _patiently(task, grace_s)
        if not task.done() or task.cancelled() or task.exception():
            task.cancel()
            raise
        return task.result(), cancelled
    return task.result(), None


async def _patiently(task: asyncio.Task[Any], grace_s: float) -> None:
    """Wait for a task, however often this one is cancelled."""
    clock = asyncio.get_running_loop().time
    end = clock() + grace_s
    while not task.done() and clock() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=end - clock())
