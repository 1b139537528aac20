"""The one event loop of a process: shared, and left behind when it is stuck."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from executions.worker import eventloop
from executions.worker.eventloop import current_loop, replace_stuck_loop

PLENTY_S = 10.0
SOON_S = 0.05


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Stop a loop of the tests' own, and wait for its thread."""
    ended = threading.Event()

    async def last() -> None:
        loop.call_soon(loop.stop)
        ended.set()

    asyncio.run_coroutine_threadsafe(last(), loop)
    assert ended.wait(PLENTY_S)
    while loop.is_running():
        pass
    loop.close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without a loop, and leave the process's own as it was."""
    monkeypatch.setattr(eventloop, "_loop", None)
    yield
    if eventloop._loop is not None:
        end(eventloop._loop)


@pytest.fixture
def stuck() -> Iterator[asyncio.AbstractEventLoop]:
    """A current loop whose work blocks until the test is over."""
    loop, blocking, release = current_loop(), threading.Event(), threading.Event()

    async def block() -> None:
        blocking.set()
        release.wait(PLENTY_S)

    asyncio.run_coroutine_threadsafe(block(), loop)
    assert blocking.wait(PLENTY_S)
    yield loop
    release.set()
    end(loop)


def test_a_stuck_loop_is_replaced(stuck: asyncio.AbstractEventLoop) -> None:
    assert replace_stuck_loop(SOON_S)

    fresh = current_loop()
    assert fresh is not stuck
    done = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "works"), fresh)
    assert done.result(PLENTY_S) == "works"


def test_a_stuck_loop_is_replaced_once_for_all_who_notice(
    stuck: asyncio.AbstractEventLoop,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: replace_stuck_loop(SOON_S), range(4)))
        loops = set(pool.map(lambda _: current_loop(), range(8)))

    assert len(loops) == 1
    assert stuck not in loops


def test_a_loop_that_answers_is_kept() -> None:
    loop = current_loop()

    assert not replace_stuck_loop(PLENTY_S)
    assert current_loop() is loop


def test_without_a_loop_there_is_nothing_to_replace() -> None:
    assert not replace_stuck_loop(SOON_S)


def test_a_loop_whose_thread_has_ended_is_made_anew() -> None:
    ended = current_loop()
    end(ended)

    assert current_loop() is not ended


def test_whoever_asks_gets_the_same_loop() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: current_loop(), range(8)))) == 1


def test_a_fork_does_not_inherit_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    before = current_loop()
    monkeypatch.setattr(eventloop, "_owner", -1)  # as a child finds it

    after = current_loop()

    assert after is not before
    end(before)


def test_a_callback_that_wants_to_end_the_process_ends_nothing() -> None:
    loop = current_loop()

    def leave() -> None:
        raise SystemExit(2)

    loop.call_soon_threadsafe(leave)

    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 7), loop).result(10) == 7
    assert current_loop() is loop
