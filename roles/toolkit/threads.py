"""Run code that waits for the database beside an event loop, in a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread, with this task's context variables."""
    call = partial(copy_context().run, _tidily, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="tools")


def _tidily(call: Callable[[], Any]) -> Any:
    """Leave no connection behind that another caller could use, or that is broken."""
    close_old_connections()
    try:
        return call()
    finally:
        if settings.DB_POOL_SIZE:
            connections.close_all()
        else:
            close_old_connections()
