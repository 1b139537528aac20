"""
Functions for the fault tests: work whose effects an outsider sees.

Each attempt reports to the sink at `CORE_TEST_SINK`, with the idempotency key and
the attempt's process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from roles.functions import FunctionContext, FunctionFailed, function


def report(moment: str, context: FunctionContext) -> None:
    """Tell the sink, as a step tells any service whose state it changes."""
    body = {
        "execution": context.execution_id,
        "step": context.step_key,
        "attempt": context.attempt,
        "moment": moment,
        "pid": os.getpid(),
    }
    connection = HTTPConnection(os.environ["CORE_TEST_SINK"], timeout=10)
    headers = {"Idempotency-Key": context.idempotency_key}
    connection.request("POST", f"/{moment}", json.dumps(body), headers)
    connection.getresponse().read()
    connection.close()


class Holding:
    """True until the time is over or the release is there."""

    def __init__(self, given: dict[str, Any], context: FunctionContext) -> None:
        over = context.attempt > 1 and given.get("only_first")
        self._end = time.monotonic() + (0 if over else given.get("seconds", 120))
        traces = Path(os.environ["CORE_TEST_TRACES"])
        self._release = traces / given.get("release", "never")

    def __bool__(self) -> bool:
        return time.monotonic() < self._end and not self._release.exists()


@function("fault.effect")
def effect(given: Any, context: FunctionContext) -> int:
    """Change something outside, once for each attempt."""
    report("begin", context)
    return context.attempt


@function("fault.hold")
def hold(given: dict[str, Any], context: FunctionContext) -> int:
    """
    Begin, go on until the file `release` exists, and end.

    `ticks` has every turn seen; `only_first` has later attempts end at once.
    """
    report("begin", context)
    holds = Holding(given, context)
    while holds:
        time.sleep(0.05)  # noqa: TID251  (the work itself)
        if given.get("ticks"):
            report("tick", context)
    report("end", context)
    return context.attempt


@function("fault.out_of_memory")
def out_of_memory(given: Any, context: FunctionContext) -> None:
    """End as the kernel ends a process that has taken too much."""
    report("begin", context)
    os.kill(os.getpid(), signal.SIGKILL)


@function("fault.exit")
def leave(given: Any, context: FunctionContext) -> None:
    report("begin", context)
    os._exit(1)


@function("fault.aeffect")
async def aeffect(given: Any, context: FunctionContext) -> int:
    """Do what `fault.effect` does, on the event loop."""
    await asyncio.to_thread(report, "begin", context)
    return context.attempt


@function("fault.ahold")
async def ahold(given: dict[str, Any], context: FunctionContext) -> int:
    """Do what `fault.hold` does, on the event loop."""
    await asyncio.to_thread(report, "begin", context)
    holds = Holding(given, context)
    while holds:
        await asyncio.sleep(0.05)
        if given.get("ticks"):
            await asyncio.to_thread(report, "tick", context)
    await asyncio.to_thread(report, "end", context)
    return context.attempt


@function("fault.succeed_later")
def succeed_later(given: Any, context: FunctionContext) -> int:
    """Fail the first attempt."""
    report("begin", context)
    if context.attempt == 1:
        raise FunctionFailed("Not yet.", retryable=True)
    return context.attempt


@function("fault.deaf")
def deaf(given: dict[str, Any], context: FunctionContext) -> str:
    """Ignore every interruption for `seconds`, and then have a result."""
    report("begin", context)
    end = time.monotonic() + given["seconds"]
    while time.monotonic() < end:
        try:
            time.sleep(0.1)  # noqa: TID251
        except BaseException:  # noqa: BLE001, S112
            continue
    report("end", context)
    return "late"


@function("fault.adeaf")
async def adeaf(given: dict[str, Any], context: FunctionContext) -> str:
    """Ignore every cancellation for `seconds`, and then have a result."""
    report("begin", context)
    end = time.monotonic() + given["seconds"]
    while time.monotonic() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
    report("end", context)
    return "late"


@function("fault.block")
async def block(given: dict[str, Any], context: FunctionContext) -> str:
    """Block the event loop, which nothing can interrupt, for `seconds`."""
    report("begin", context)
    time.sleep(given["seconds"])  # noqa: TID251
    report("end", context)
    return "late"


@function("fault.pause")
def pause(given: Any, context: FunctionContext) -> int:
    """Work for a moment."""
    report("begin", context)
    time.sleep(0.2)  # noqa: TID251
    report("end", context)
    return context.attempt


@function("fault.apause")
async def apause(given: Any, context: FunctionContext) -> int:
    """Do what `fault.pause` does, on the event loop."""
    await asyncio.to_thread(report, "begin", context)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(report, "end", context)
    return context.attempt


@function("fault.tool")
async def tool(given: dict[str, Any], context: FunctionContext) -> str:
    """
    Have an effect as an agent's tool, and take until the file `release` exists.

    The sink sees it at `/tool`; the key is that of the call, not of the step.
    """
    await asyncio.to_thread(_report_call, given, context)
    release = Path(os.environ["CORE_TEST_TRACES"]) / given.get("release", "")
    end = time.monotonic() + 60
    while given.get("release") and not release.exists() and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return f"did {given['name']}"


@function("fault.blocking_tool")
def blocking_tool(given: dict[str, Any], context: FunctionContext) -> str:
    """Do what `fault.tool` does, in a thread that nothing interrupts."""
    _report_call(given, context)
    release = Path(os.environ["CORE_TEST_TRACES"]) / given["release"]
    end = time.monotonic() + 40
    while not release.exists() and time.monotonic() < end:
        time.sleep(0.05)  # noqa: TID251  (the work itself)
    return f"did {given['name']}"


def _report_call(given: dict[str, Any], context: FunctionContext) -> None:
    connection = HTTPConnection(os.environ["CORE_TEST_SINK"], timeout=10)
    headers = {"Idempotency-Key": context.idempotency_key}
    body = json.dumps({"tool": given["name"]})
    connection.request("POST", "/tool", body, headers)
    connection.getresponse().read()
    connection.close()
