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
LONG_THREADS = 32


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread, with this task's context variables."""
    return await _in(_threads(), partial(function, *args, **kwargs))


async def in_long_thread(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """
    Call what may take long, such as somebody else's code, as `in_thread` does.

    Its threads are others: those who only ask the database do not wait for it.
    """
    return await _in(_long_threads(), partial(function, *args, **kwargs))


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    call = partial(copy_context().run, _tidily, work)
    return await asyncio.get_running_loop().run_in_executor(threads, call)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="tools")


@cache
def _long_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=LONG_THREADS, thread_name_prefix="tools-long")


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
