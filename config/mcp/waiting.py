"""Wait for an execution in the event loop: no thread and no connection is held."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

from executions.live.hub import Hub
from executions.models import Execution
from executions.states import TERMINAL_EXECUTION
from roles.toolkit.threads import in_thread

DEFAULT_WAIT_S = 20.0
LONGEST_WAIT_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
_GAP_S = 0.02  # an execution of many small steps is not asked about at each of them


async def until_ended(execution_id: UUID, wait_s: float) -> None:
    """
    Return when the execution has ended, or after `wait_s` seconds.

    News wake it; without any, from a broker that is away, it looks now and then.
    """
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_S
    end = loop.time() + wait_s
    if wait_s <= 0:
        return
    async with Hub.of_this_loop().watching(execution_id) as news:
        while not await in_thread(_has_ended, execution_id):
            left = end - loop.time()
            if left <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, pause)):
                    await news.wait()
                    await asyncio.sleep(_GAP_S)
            news.clear()
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _has_ended(execution_id: UUID) -> bool:
    ended = Execution.objects.filter(pk=execution_id, status__in=TERMINAL_EXECUTION)
    return ended.exists()
