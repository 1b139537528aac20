"""Attempts really end: at their deadline, or when they are to stop, in each way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from executions.worker import attempts
from executions.worker.attempts import (
    AttemptStopped,
    AttemptTimedOut,
    StopButton,
    run_attempt,
)
from roles.runners import Result

PLENTY_S = 10.0
SOON_S = 0.05
DONE = Result(output="done")


def attempt(
    call: Callable[[], Any],
    *,
    timeout_s: float = PLENTY_S,
    stop: StopButton | None = None,
    awaits: bool = False,
) -> Result:
    return run_attempt(
        call, awaits=awaits, timeout_s=timeout_s, stop=stop or StopButton()
    )


def in_thread(call: Callable[[], Any]) -> Any:
    """Run in a thread that is not the main one, as slots of a thread pool are."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(timeout=PLENTY_S)


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What work waits for until the test is over."""
    event = threading.Event()
    yield event
    event.set()


class Way:
    """One of the three ways in which work runs, and work that suits it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, call: Callable[[], Any], **options: Any) -> Result:
        awaits = self.name == "on the event loop"
        if self.name == "in a thread":
            made: Result = in_thread(lambda: attempt(call, awaits=awaits, **options))
            return made
        return attempt(call, awaits=awaits, **options)

    def work(self, body: Callable[[], Any]) -> Callable[[], Any]:
        """Make work of a body that blocks for no time."""
        if self.name != "on the event loop":
            return body

        async def work() -> Any:
            return body()

        return work

    def hang(
        self, never: threading.Event, started: Callable[[], Any] = lambda: None
    ) -> Callable[[], Any]:
        """Make work that ends when it is made to."""
        if self.name != "on the event loop":

            def wait() -> None:
                started()
                never.wait(PLENTY_S)

            return wait

        async def wait_async() -> None:
            started()
            await asyncio.sleep(PLENTY_S)

        return wait_async


@pytest.fixture(params=["in the main thread", "in a thread", "on the event loop"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


# --- in each of the three ways ------------------------------------------------------


def test_the_result_comes_back(way: Way) -> None:
    assert way.run(way.work(lambda: DONE)) == DONE


def test_what_the_work_raises_comes_back_as_it_is(way: Way) -> None:
    def fail() -> None:
        raise LookupError("no such order")

    with pytest.raises(LookupError, match="no such order"):
        way.run(way.work(fail))


def test_work_that_takes_too_long_is_ended(way: Way, never: threading.Event) -> None:
    with pytest.raises(AttemptTimedOut):
        way.run(way.hang(never), timeout_s=SOON_S)


@pytest.mark.parametrize("left_s", [0.0, -5.0])
def test_a_deadline_that_has_passed_ends_the_work_at_once(
    way: Way, never: threading.Event, left_s: float
) -> None:
    with pytest.raises(AttemptTimedOut):
        way.run(way.hang(never), timeout_s=left_s)


def test_a_time_out_of_the_works_own_is_not_the_attempts(way: Way) -> None:
    def fail() -> None:
        raise TimeoutError("the shop did not answer")

    with pytest.raises(TimeoutError, match="the shop did not answer"):
        way.run(way.work(fail))


@pytest.mark.parametrize(
    "ending",
    [concurrent.futures.CancelledError, asyncio.CancelledError, SystemExit],
    ids=["future", "task", "process"],
)
def test_work_that_ends_itself_has_failed_and_neither_stopped_nor_timed_out(
    way: Way, ending: type[BaseException]
) -> None:
    # Whoever runs attempts expects nothing but exceptions and our two signals.
    def leave() -> None:
        raise ending("of the work's own")

    with pytest.raises(Exception) as failed:  # noqa: PT011  (any, but an Exception)
        way.run(way.work(leave), timeout_s=5)

    assert isinstance(failed.value, Exception)


def test_work_that_ends_itself_leaves_its_neighbours_on_the_loop_alone() -> None:
    async def wait(event: asyncio.Event) -> Result:
        await event.wait()
        return DONE

    async def leave() -> None:
        raise SystemExit(2)

    async def release(event: asyncio.Event) -> Result:
        event.set()
        return DONE

    event = asyncio.Event()
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(attempt, lambda: wait(event), timeout_s=5, awaits=True)
        with pytest.raises(BaseException):  # noqa: B017, PT011
            attempt(leave, timeout_s=1, awaits=True)
        attempt(lambda: release(event), awaits=True)

        assert neighbour.result(PLENTY_S) == DONE


def test_the_stop_button_ends_the_work(way: Way, never: threading.Event) -> None:
    stop, started = StopButton(), threading.Event()

    def press() -> None:
        started.wait(PLENTY_S)
        stop.press()

    presser = threading.Thread(target=press)
    presser.start()

    with pytest.raises(AttemptStopped):
        way.run(way.hang(never, started.set), stop=stop)

    presser.join(PLENTY_S)


def test_a_button_that_was_pressed_before_ends_the_work_at_once(
    way: Way, never: threading.Event
) -> None:
    stop = StopButton()
    stop.press()

    with pytest.raises(AttemptStopped):
        way.run(way.hang(never), stop=stop)


def test_a_button_pressed_after_the_end_changes_nothing(way: Way) -> None:
    stop = StopButton()
    result = way.run(way.work(lambda: DONE), stop=stop)

    stop.press()

    assert (result, stop.pressed) == (DONE, True)


def test_a_button_pressed_twice_stops_once(way: Way, never: threading.Event) -> None:
    stop, started = StopButton(), threading.Event()

    def press() -> None:
        started.wait(PLENTY_S)
        stop.press()
        stop.press()

    presser = threading.Thread(target=press)
    presser.start()

    with pytest.raises(AttemptStopped):
        way.run(way.hang(never, started.set), stop=stop)

    presser.join(PLENTY_S)


def test_one_attempt_after_another_may_time_out(
    way: Way, never: threading.Event
) -> None:
    for _ in range(2):
        with pytest.raises(AttemptTimedOut):
            way.run(way.hang(never), timeout_s=SOON_S)

    assert way.run(way.work(lambda: DONE)) == DONE


# --- in the main thread: a signal ---------------------------------------------------


def test_code_that_swallows_the_interruption_is_told_again(
    monkeypatch: pytest.MonkeyPatch, never: threading.Event
) -> None:
    monkeypatch.setattr(attempts, "_STUBBORN_S", SOON_S)
    swallowed: list[BaseException] = []

    def stubborn() -> None:
        try:
            never.wait(PLENTY_S)
        except BaseException as told:  # noqa: BLE001  (what users' code does)
            swallowed.append(told)
        never.wait(PLENTY_S)

    with pytest.raises(AttemptTimedOut):
        attempt(stubborn, timeout_s=SOON_S)

    assert [type(told) for told in swallowed] == [AttemptTimedOut]


def test_code_that_swallows_being_stopped_is_told_again(
    monkeypatch: pytest.MonkeyPatch, never: threading.Event
) -> None:
    # Likewise a signal is lost on code that is just about to wait.
    monkeypatch.setattr(attempts, "_STUBBORN_S", SOON_S)
    stop, waits, swallowed = StopButton(), threading.Event(), []

    def stubborn() -> None:
        try:
            waits.set()
            never.wait(PLENTY_S)
        except BaseException as told:  # noqa: BLE001  (what users' code does)
            swallowed.append(told)
        never.wait(PLENTY_S)

    def press() -> None:
        waits.wait(PLENTY_S)
        stop.press()

    presser = threading.Thread(target=press)
    presser.start()

    with pytest.raises(AttemptStopped):
        attempt(stubborn, stop=stop, timeout_s=6 * PLENTY_S)

    presser.join(PLENTY_S)
    assert [type(told) for told in swallowed] == [AttemptStopped]


def test_code_that_catches_every_exception_does_not_catch_the_time_out(
    never: threading.Event,
) -> None:
    def careful() -> str:
        try:
            never.wait(PLENTY_S)
        except Exception:  # noqa: BLE001  (what users' code does)
            return "caught"
        return "ended"

    with pytest.raises(AttemptTimedOut):
        attempt(careful, timeout_s=SOON_S)


def test_the_works_own_cleaning_up_runs(never: threading.Event) -> None:
    cleaned: list[str] = []

    def tidy() -> None:
        try:
            never.wait(PLENTY_S)
        finally:
            cleaned.append("yes")

    with pytest.raises(AttemptTimedOut):
        attempt(tidy, timeout_s=SOON_S)

    assert cleaned == ["yes"]


@pytest.fixture
def rings() -> Iterator[list[int]]:
    """Count the alarm signals that reach the process outside of any attempt."""
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGALRM, hear)
    yield heard
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("timeout_s", [PLENTY_S, SOON_S])
def test_nothing_of_the_alarm_is_left_behind(
    rings: list[int], never: threading.Event, timeout_s: float
) -> None:
    handler = signal.getsignal(signal.SIGALRM)

    def work() -> Result:
        if timeout_s == SOON_S:
            never.wait(PLENTY_S)
        return DONE

    try:
        attempt(work, timeout_s=timeout_s)
    except AttemptTimedOut:
        assert timeout_s == SOON_S

    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert rings == []


def test_a_press_that_comes_too_late_sends_no_signal_into_the_process(
    rings: list[int],
) -> None:
    # The default action of SIGALRM would end the worker and all that it holds.
    stop, pressing, over = StopButton(), threading.Event(), threading.Event()

    def dawdle() -> None:
        pressing.set()
        over.wait(0.3)

    def work() -> Result:
        presser.start()
        pressing.wait(PLENTY_S)
        return DONE

    stop.wire(dawdle)
    presser = threading.Thread(target=stop.press)
    result = attempt(work, stop=stop)
    over.set()
    presser.join(PLENTY_S)

    assert result == DONE
    assert rings == []


# --- in a thread, and on the event loop ---------------------------------------------


def test_work_in_a_thread_that_does_not_stop_is_left_behind() -> None:
    release, ended = threading.Event(), threading.Event()

    def stubborn() -> Result:
        release.wait(PLENTY_S)
        ended.set()
        return DONE

    with pytest.raises(AttemptTimedOut):
        in_thread(lambda: attempt(stubborn, timeout_s=SOON_S))
    release.set()

    # Its late result finds nobody who waits, and disturbs nobody.
    assert ended.wait(PLENTY_S)


def test_a_late_failure_in_a_thread_disturbs_nobody() -> None:
    release, thread = threading.Event(), []

    def stubborn() -> Result:
        thread.append(threading.current_thread())
        release.wait(PLENTY_S)
        raise RuntimeError("too late")

    with pytest.raises(AttemptTimedOut):
        in_thread(lambda: attempt(stubborn, timeout_s=SOON_S))
    release.set()
    thread[0].join(PLENTY_S)

    assert not thread[0].is_alive()


def test_awaiting_work_is_cancelled_and_may_clean_up() -> None:
    cleaned = threading.Event()

    async def tidy() -> None:
        try:
            await asyncio.sleep(PLENTY_S)
        finally:
            cleaned.set()

    with pytest.raises(AttemptTimedOut):
        attempt(tidy, timeout_s=SOON_S, awaits=True)

    assert cleaned.wait(PLENTY_S)


def test_awaiting_work_may_answer_without_awaiting() -> None:
    assert attempt(lambda: DONE, awaits=True) == DONE


def test_awaiting_work_may_fail_before_it_awaits() -> None:
    def fail() -> None:
        raise LookupError("no such function")

    with pytest.raises(LookupError):
        attempt(fail, awaits=True)


def test_attempts_on_the_event_loop_run_at_the_same_time() -> None:
    meeting = asyncio.Event()

    async def wait() -> Result:
        await meeting.wait()
        return Result(output="met")

    async def come() -> Result:
        meeting.set()
        return DONE

    with ThreadPoolExecutor(2) as pool:
        waiting: Future[Result] = pool.submit(attempt, wait, awaits=True)
        coming = pool.submit(attempt, come, awaits=True)

        assert coming.result(PLENTY_S) == DONE
        assert waiting.result(PLENTY_S) == Result(output="met")


def test_one_attempts_time_out_leaves_its_neighbours_alone() -> None:
    async def wait(event: asyncio.Event) -> Result:
        await event.wait()
        return DONE

    async def release(event: asyncio.Event) -> Result:
        event.set()
        return DONE

    event = asyncio.Event()
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(attempt, lambda: wait(event), awaits=True)
        with pytest.raises(AttemptTimedOut):
            attempt(lambda: asyncio.sleep(PLENTY_S), timeout_s=SOON_S, awaits=True)
        attempt(lambda: release(event), awaits=True)

        assert neighbour.result(PLENTY_S) == DONE
