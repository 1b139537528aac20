"""Functions for the acceptance tests: work that waits, fails, and leaves traces.

Traces are files below the folder that `CORE_TEST_TRACES` names: one line for each
attempt, so that tests see from outside what was really run.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from roles.functions import FunctionContext, FunctionFailed, function


def leave_trace(name: str, context: FunctionContext) -> int:
    """Note an attempt, and return how many there are now."""
    path = Path(os.environ["CORE_TEST_TRACES"]) / name
    with path.open("a") as file:
        file.write(f"{context.idempotency_key} {context.attempt}\n")
    return len(path.read_text().splitlines())


@function("test.trace")
def trace(given: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    return {"attempts": leave_trace(given["trace"], context)}


@function("test.succeed_on")
def succeed_on(given: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """Fail until attempt number `attempt`."""
    if context.attempt < given["attempt"]:
        raise FunctionFailed(
            f"Not yet: this is attempt {context.attempt}.", retryable=True
        )
    return {"attempt": context.attempt, "key": context.idempotency_key}


@function("test.fail")
def fail(given: Any) -> None:
    raise ValueError("The world is not ready.")


@function("test.hold")
def hold(given: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """Note the attempt, then take `seconds`, or until the file `until` exists."""
    attempts = leave_trace(given["trace"], context)
    _wait_for(given, attempts)
    return {"attempts": attempts}


def _wait_for(given: dict[str, Any], attempts: int) -> None:
    if attempts > given.get("only_first", 10**9):
        return
    release = Path(os.environ["CORE_TEST_TRACES"]) / given.get("release", "never")
    end = time.monotonic() + given["seconds"]
    while time.monotonic() < end and not release.exists():
        time.sleep(0.02)  # noqa: TID251  (the work itself)


@function("test.ahold")
async def ahold(given: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """Do what `test.hold` does, on the event loop."""
    attempts = leave_trace(given["trace"], context)
    release = Path(os.environ["CORE_TEST_TRACES"]) / given.get("release", "never")
    end = time.monotonic() + given["seconds"]
    if attempts > given.get("only_first", 10**9):
        end = 0
    while time.monotonic() < end and not release.exists():
        await asyncio.sleep(0.02)
    return {"attempts": attempts}


@function("test.span")
async def span(given: dict[str, Any], context: FunctionContext) -> Any:
    """Note the beginning and the end of `seconds`; a `release` ends them early."""
    traces = Path(os.environ["CORE_TEST_TRACES"])
    release = traces / given.get("release", "never")
    end = time.monotonic() + given.get("seconds", 0)
    _note(traces / given["trace"], f"begin {given['who']}")
    try:
        while time.monotonic() < end and not release.exists():
            await asyncio.sleep(0.01)
    finally:
        _note(traces / given["trace"], f"end {given['who']}")
    if given.get("fails"):
        raise FunctionFailed(f"{given['who']} was to fail.", retryable=False)
    return given["who"]


def _note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


@function("test.refuse")
def refuse(given: dict[str, Any]) -> Any:
    """Fail for a value among those `refused`, and return any other."""
    if given["value"] in given["refused"]:
        raise FunctionFailed(f"{given['value']} is refused.", retryable=False)
    return given["value"]


@function("test.await_file")
def await_file(given: dict[str, Any]) -> Any:
    """Fail while the file `trace` is not there."""
    if not (Path(os.environ["CORE_TEST_TRACES"]) / given["trace"]).exists():
        raise FunctionFailed("It is not there.", retryable=False)
    return given["value"]


@function("test.stubborn")
def stubborn(given: dict[str, Any], context: FunctionContext) -> None:
    """Ignore every interruption."""
    leave_trace(given["trace"], context)
    end = time.monotonic() + given["seconds"]
    while time.monotonic() < end:
        try:
            time.sleep(0.1)  # noqa: TID251
        except BaseException:  # noqa: BLE001, S112
            continue


@function("test.not_json")
def not_json(given: Any) -> Any:
    return {"when": object()}


@function("test.exit")
def leave(given: dict[str, Any], context: FunctionContext) -> None:
    leave_trace(given["trace"], context)
    os._exit(1)
