"""The worker processes: few, shared, replaced after a death, and gone at the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roles.runners import RunnerError
from roles.runners.codemode import (
    Limits,
    ProgramResult,
    close,
    configure,
    pool,
    run_program,
)
from tests.unit.roles.codemode_desk import TOOLS, Desk

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def fresh_pool() -> Iterator[None]:
    asyncio.run(close())
    yield
    asyncio.run(close())
    configure(processes=pool.PROCESSES)


def workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [each for each in children if each.name().startswith("monty")]


async def run(code: str, seconds: float = 20) -> ProgramResult:
    return await run_program(code, TOOLS, Desk(), limits=Limits(max_seconds=seconds))


async def many(count: int) -> list[ProgramResult]:
    program = "x = {0}\nawait tools.http_weather({0})\nx"
    return await asyncio.gather(*(run(program.format(n)) for n in range(count)))


def test_twenty_programs_at_once_share_two_processes():
    results = asyncio.run(many(20))

    assert [each.result for each in results] == list(range(20))
    assert len(workers()) == 2


def test_the_number_of_processes_can_be_set():
    configure(processes=1)

    assert [each.result for each in asyncio.run(many(5))] == list(range(5))
    assert len(workers()) == 1


def test_no_process_at_all_is_refused():
    with pytest.raises(ValueError, match="at least"):
        configure(processes=0)


def test_there_is_no_process_before_the_first_program_and_none_after_closing():
    assert workers() == []

    asyncio.run(run("1"))
    assert workers()

    asyncio.run(close())
    assert workers() == []


def test_a_program_after_closing_finds_a_new_pool():
    async def again() -> list[int]:
        first = await run("1")
        await close()
        second = await run("2")
        return [first.result, second.result]

    assert asyncio.run(again()) == [1, 2]


def test_a_worker_that_is_killed_is_replaced_and_reaped():
    async def killed() -> tuple[ProgramResult, ProgramResult]:
        running = asyncio.create_task(run("while True: pass"))
        while not workers():
            await asyncio.wait([running], timeout=0.05)
        await asyncio.wait([running], timeout=0.5)
        for each in workers():
            each.kill()
        return await running, await run("1 + 1")

    first, second = asyncio.run(killed())

    assert first.error is not None
    assert first.error["type"] == "Crashed"
    assert second.result == 2
    assert all(each.status() != psutil.STATUS_ZOMBIE for each in workers())


def test_workers_of_programs_out_of_time_are_replaced_and_reaped():
    async def ended() -> list[ProgramResult]:
        sleeper = "import time\ntime.sleep(1000)"
        await asyncio.gather(*(run(sleeper, 0.3) for _ in range(4)))
        return await many(4)

    assert [each.result for each in asyncio.run(ended())] == [0, 1, 2, 3]
    assert len(workers()) <= 2
    assert all(each.status() != psutil.STATUS_ZOMBIE for each in workers())


def test_cancelled_programs_give_their_places_back():
    async def cancelled() -> list[ProgramResult]:
        running = [asyncio.create_task(run("while True: 1")) for _ in range(6)]
        await asyncio.wait(running, timeout=0.5)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return await many(4)

    assert [each.result for each in asyncio.run(cancelled())] == [0, 1, 2, 3]


def test_no_free_worker_is_told_as_such(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "WAIT_S", 0.2)
    configure(processes=1)

    async def crowded() -> list[ProgramResult | BaseException]:
        both = (run("while True: pass", 2) for _ in range(2))
        return await asyncio.gather(*both, return_exceptions=True)

    [refused] = [
        each for each in asyncio.run(crowded()) if isinstance(each, RunnerError)
    ]

    assert (refused.type, refused.retryable) == ("sandbox_busy", True)


def test_a_sandbox_that_is_not_installed_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("MONTY_BIN", "/nowhere/monty")

    with pytest.raises(RunnerError, match="cannot be started") as caught:
        asyncio.run(run("1"))

    assert (caught.value.type, caught.value.retryable) == ("sandbox_unavailable", True)


FORKING = """
import asyncio, os, signal
from roles.runners import RunnerError
from roles.runners.codemode import run_program

async def call(name, arguments): ...

def program():
    return asyncio.run(run_program("1 + 1", (), call)).result

{before}
child = os.fork()
if not child:
    signal.alarm(60)
    try:
        print("child", program(), flush=True)
    except RunnerError as refusal:
        print("child", refusal.type, flush=True)
    os._exit(0)
print("status", os.waitpid(child, 0)[1])
print("parent", program())
"""


def lines_of(script: str) -> list[str]:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def test_a_child_that_was_forked_before_any_program_runs_its_own():
    assert lines_of(FORKING.format(before="")) == ["child 2", "status 0", "parent 2"]


def test_a_child_that_was_forked_after_a_program_is_refused_instead_of_hanging():
    assert lines_of(FORKING.format(before="program()")) == [
        "child sandbox_unavailable",
        "status 0",
        "parent 2",
    ]


def test_a_process_that_ends_right_after_a_program_ends_well():
    script = FORKING.partition("{before}")[0] + "print(program())"

    assert [lines_of(script) for _ in range(5)] == [["2"]] * 5
