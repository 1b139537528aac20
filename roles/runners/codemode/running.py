"""Run one program, from its text to what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_monty import (
    AsyncMontySession,
    MontyComplete,
    MontyError,
    MontyTypingError,
)

from roles.runners.codemode import pool
from roles.runners.codemode.arguments import Unusable, as_json
from roles.runners.codemode.calls import Call, Calls
from roles.runners.codemode.driving import Driver
from roles.runners.codemode.errors import (
    SCRIPT,
    error_of,
    is_harmless,
    members_missed,
    too_slow,
)
from roles.runners.codemode.naming import Modules, modules
from roles.runners.codemode.printing import Printed
from roles.runners.codemode.programs import Ended, Limits, ProgramError, ProgramResult
from roles.runners.codemode.stubs import checked
from roles.runners.hosting import OfferedTool

DEFAULT = Limits()
COMPUTING = 0.95  # of the time; a worker that ends a program itself lives on
LEAST_MB = 16  # what the type checker needs by itself
PAUSES_PER_CALL = 10
PAUSES = 1_000
MEGABYTE = 1024 * 1024


async def run_program(
    code: str,
    tools: Sequence[OfferedTool],
    call: Call,
    *,
    limits: Limits = DEFAULT,
) -> ProgramResult:
    """
    Run a program that may call `tools`, each through `call(name, arguments)`.

    What the program does never raises: it becomes `error`. `call` raises Refusal for
    the program to read; it is also called with names that are not among the tools, and
    has to refuse them. Parked and a cancellation end the program and are raised, and
    RunnerError when the sandbox itself cannot be had.
    """
    placed, started = modules(tools), time.monotonic()
    run = _Run(
        placed=placed,
        limits=limits,
        calls=Calls(placed, call, limits),
        printed=Printed(limits.max_output_chars),
    )
    result, error = await _outcome(run, code)
    return ProgramResult(
        output=run.printed.text,
        result=result,
        error=error,
        calls=run.calls.records,
        duration_ms=round((time.monotonic() - started) * 1000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    placed: Modules
    limits: Limits
    calls: Calls
    printed: Printed


async def _outcome(run: _Run, code: str) -> tuple[Any, ProgramError | None]:
    try:
        _check_text(code, run.limits)
        return await _finished(run, code), None
    except Ended as end:
        return None, end.as_error()
    except MontyError as failure:
        if isinstance(failure, MontyTypingError):
            await _refuse_missing(run, failure)
        return None, error_of(failure, run.placed, run.limits)


async def _finished(run: _Run, code: str) -> Any:
    try:
        async with _session(run, is_checked=True) as session:
            return await _in_time(run, code, session)
    except MontyTypingError as failure:
        if not is_harmless(failure):
            raise
    async with _session(run, is_checked=False) as session:
        return await _in_time(run, code, session)


@asynccontextmanager
async def _session(run: _Run, *, is_checked: bool) -> AsyncIterator[AsyncMontySession]:
    limits = run.limits
    async with pool.session(
        script_name=SCRIPT,
        type_check=is_checked,
        type_check_stubs=checked(run.placed),
        type_check_format="concise",
        limits={
            "max_feed_duration_secs": limits.max_seconds * COMPUTING,
            "max_memory": max(limits.max_memory_mb, LEAST_MB) * MEGABYTE,
            "max_recursion_depth": limits.max_depth,
            "max_suspensions": PAUSES + limits.max_calls * PAUSES_PER_CALL,
        },
    ) as session:
        yield session


async def _in_time(run: _Run, code: str, session: AsyncMontySession) -> Any:
    limits = run.limits
    driver = Driver(run.placed, run.calls, limits.max_seconds)
    try:
        async with asyncio.timeout(limits.max_seconds) as clock:
            run.printed.watch(clock)
            complete = await driver.run(session, code, run.printed)
            return await asyncio.to_thread(_value, complete, run)
    except TimeoutError:
        if not clock.expired():
            raise
        raise _stopped(run) from None
    finally:
        await driver.close()


def _stopped(run: _Run) -> Ended:
    if run.printed.is_endless:
        most = run.limits.max_output_chars
        return Ended(
            f"The program printed far more than {most} characters.", type="OutputLimit"
        )
    return Ended(too_slow(run.limits), type="TimeoutError")


def _value(complete: MontyComplete, run: _Run) -> Any:
    """Return the last value; one that is no result is no error, for all was done."""
    try:
        return as_json(complete.output, run.limits.max_output_chars)
    except Unusable as problem:
        run.printed.note(f"(The last value was left out: {problem})")
        return None


async def _refuse_missing(run: _Run, failure: MontyTypingError) -> None:
    """Let the attempts to call what was not offered reach those who log them."""
    try:
        async with asyncio.timeout(run.limits.max_seconds):
            for module, function in members_missed(failure.display(), run.placed):
                await run.calls.refuse(module, function)
    except (Ended, TimeoutError):
        return  # there are enough of them on record


def _check_text(code: str, limits: Limits) -> None:
    if len(code) > limits.max_code_chars:
        raise Ended(
            f"The program is longer than {limits.max_code_chars} characters.",
            type="CodeLimit",
        )
    for line, text in enumerate(code.split("\n"), start=1):
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise Ended(
                "The program has a character that no text can hold.",
                type="SyntaxError",
                line=line,
            )
