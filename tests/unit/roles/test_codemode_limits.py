"""Programs that take too much of something end in time, and others do not notice."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from roles.runners.codemode import Limits, run_program
from tests.unit.roles.codemode_desk import TOOLS, Desk, failed, ran

PATIENCE_S = 30.0  # a bound that is far away, for machines that are busy

ENDLESS = {
    "loop": "while True: pass",
    "loop that catches": "while True:\n  try:\n    while True: 1\n  except BaseException: 1",
    "sleep": "import time\ntime.sleep(10**6)",
    "asyncio sleep": "import asyncio\nawait asyncio.sleep(float('inf'))",
    "naps": "import asyncio\nwhile True: await asyncio.sleep(0)",
    "silent print": "while True: print(end='')",
    "power": "x = 3\nwhile True: x = x * x",
    "finally": "def f():\n  try:\n    f()\n  finally:\n    f()\nf()",
}
GREEDY = {
    "text": "x = 'a' * 10**10",
    "list": "x = [0] * 10**10",
    "doubling": "x = 'a'\nwhile True: x = x + x",
    "appending": "x = []\nwhile True: x.append('a' * 1000 + str(len(x)))",
    "number": "10 ** 10 ** 10",
    "shift": "1 << 10**12",
    "iterator": "import itertools\nlist(itertools.count())",
    "range": "sorted(range(10**9))",
    "deep": "x = []\nwhile True: x = [x]",
    "repr": "class A:\n  def __repr__(self): return 'x' * 10**10\nprint(A())",
    "random": "import random\nrandom.randbytes(10**10)",
}
DEEP = {
    "function": "def f(): return f()\nf()",
    "key": "f = lambda x: sorted([1, 2], key=lambda y: f(y))\nf(1)",
    "equality": "a = []\nb = []\nfor i in range(10**4):\n  a = [a]\n  b = [b]\na == b",
}


@pytest.mark.parametrize("program", ENDLESS.values(), ids=ENDLESS)
def test_a_program_without_end_is_ended(program):
    started = time.monotonic()

    type_, message, _ = failed(program, max_seconds=0.5)

    assert type_ == "TimeoutError"
    assert message == "The program took more than 0.5 s, with its calls."
    assert time.monotonic() - started < PATIENCE_S


@pytest.mark.parametrize("program", GREEDY.values(), ids=GREEDY)
def test_memory_is_limited(program):
    type_, message, _ = failed(program, max_seconds=20, max_memory_mb=32)

    assert type_ == "MemoryError"
    assert message == "The program needs more than 32 MB of memory."


@pytest.mark.parametrize("program", DEEP.values(), ids=DEEP)
def test_recursion_is_limited(program):
    type_, _, line = failed(program)

    assert type_ == "RecursionError"
    assert line is not None


def test_the_depth_of_calls_can_be_set():
    program = "def f(n): return n and 1 + f(n - 1)\nf({})"

    assert ran(program.format(50), max_depth=100).result == 50
    assert failed(program.format(150), max_depth=100)[0] == "RecursionError"


@pytest.mark.parametrize(
    "program",
    ["while True: print('x' * 1000)", "while True: print()", "print('x' * 30_000_000)"],
)
def test_a_program_that_prints_without_end_is_ended(program):
    done = ran(program, max_output_chars=100, max_seconds=PATIENCE_S)

    assert done.error is not None
    assert done.error["type"] == "OutputLimit"
    assert len(done.output) < 200


def test_long_output_is_shortened_with_a_note():
    done = ran("print('x' * 150)\nprint('y' * 49)", max_output_chars=100)

    assert done.error is None
    assert done.output == "x" * 100 + "\n(101 more characters left out)"


def test_calls_are_limited_even_if_the_program_catches_everything():
    desk = Desk()
    program = """
while True:
    try:
        await system.execute_orchestration(name="x")
    except BaseException:
        pass
"""

    done = ran(program, desk, max_calls=3)

    assert done.error == {
        "type": "CallLimit",
        "message": "The program called tools more than 3 times.",
        "line": 4,
    }
    assert len(desk.asked) == len(done.calls) == 3


def test_calls_that_are_gathered_are_limited():
    program = """
import asyncio
await asyncio.gather(*[tools.http_weather(i) for i in range(1000)])
"""
    desk = Desk()

    assert failed(program, desk, max_calls=5)[0] == "CallLimit"
    assert len(desk.asked) <= 5


@pytest.mark.parametrize(
    "program",
    [
        "while True:\n  try: getattr(system, 'no')\n  except AttributeError: pass",
        "while True:\n  try: nope()  # type: ignore\n  except NameError: pass",
        "import os\nwhile True:\n  try: os.environ\n  except RuntimeError: pass",
    ],
)
def test_asking_the_host_again_and_again_is_limited(program):
    assert failed(program, max_seconds=PATIENCE_S)[0] == "CallLimit"


def test_guesses_of_ever_new_names_count_as_calls():
    desk = Desk()
    program = "i = 0\nwhile True:\n  hasattr(system, f'q{i}')\n  i += 1"

    assert failed(program, desk, max_calls=4)[0] == "CallLimit"
    assert len(desk.asked) == 4


def test_the_time_limit_counts_the_calls_too():
    async def slow(name: str, arguments: Any) -> None:
        await asyncio.Event().wait()

    done = ran("await tools.http_weather(1)", slow, max_seconds=0.3)

    assert done.error is not None
    assert done.error["type"] == "TimeoutError"
    assert done.calls[0]["outcome"] == "failed"
    assert "left while it waited" in done.calls[0]["detail"]


def test_long_code_is_refused():
    assert failed("x" * 101, max_code_chars=100) == (
        "CodeLimit",
        "The program is longer than 100 characters.",
        None,
    )


@pytest.mark.parametrize("value", ["'x' * 2000", "[1] * 2000", "{'a': ['b' * 1500]}"])
def test_large_arguments_are_refused(value):
    desk = Desk()

    type_, message, _ = failed(
        f"await tools.http_weather({value})", desk, max_argument_chars=1000
    )

    assert (type_, message) == ("TypeError", "It is longer than 1000 characters.")
    assert desk.asked == []


def test_the_event_loop_goes_on_meanwhile():
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def both() -> None:
        ticking = asyncio.create_task(tick())
        limits = Limits(max_seconds=1)
        await run_program("while True: print('x')", TOOLS, Desk(), limits=limits)
        await run_program("while True: pass", TOOLS, Desk(), limits=limits)
        ticking.cancel()

    asyncio.run(both())

    assert ticks > 10


def test_a_cancelled_program_is_left_at_once():
    async def cancelled() -> float:
        running = asyncio.create_task(run_program("while True: 1", TOOLS, Desk()))
        await asyncio.wait([running], timeout=0.5)
        started = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return time.monotonic() - started

    assert asyncio.run(cancelled()) < Limits().max_seconds / 2
