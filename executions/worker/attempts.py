"""
Run an attempt and really end it: at its deadline, or when it is to stop.

Work that awaits runs on the process's one event loop and is cancelled. Plain calls
run in the main thread of a prefork child and are interrupted by a signal; elsewhere
they run in a thread of their own, which is left behind when it will not stop.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from executions.worker.eventloop import current_loop
from roles.runners import Result

_AT_ONCE_S = 0.001
_STUBBORN_S = 1.0  # how often code that swallows the interruption is told again


class AttemptTimedOut(BaseException):
    """The attempt's time is over; not an Exception, so that work does not catch it."""


class AttemptStopped(BaseException):
    """The attempt is to end now: its step was cancelled, or its lease was lost."""


class WorkQuit(Exception):
    """The work tried to end its process or its task instead of returning."""

    @classmethod
    def of(cls, error: BaseException) -> WorkQuit:
        return cls(f"the work raised {type(error).__name__}: {error}")


@dataclass(slots=True)
class StopButton:
    """Ends an attempt from another thread; pressing it before the start counts."""

    pressed: bool = False
    _actions: list[Callable[[], object]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def press(self) -> None:
        """End the attempt; once it is over this reaches nobody any more."""
        with self._lock:
            self.pressed = True
            for action in self._actions:
                action()

    def wire(self, action: Callable[[], object]) -> None:
        """Have `action` called when the button is pressed, or now if it was."""
        with self._lock:
            self._actions.append(action)
            if self.pressed:
                action()

    def unwire(self) -> None:
        with self._lock:
            self._actions.clear()


def run_attempt(
    call: Callable[[], Result | Awaitable[Result]],
    *,
    awaits: bool,
    timeout_s: float,
    stop: StopButton,
) -> Result:
    """
    Call and return the result within `timeout_s` seconds.

    Raises AttemptTimedOut, AttemptStopped, or whatever the call raises.
    """
    if awaits:
        return OnLoop.start(call, stop=stop).result(timeout_s=timeout_s)
    if threading.current_thread() is threading.main_thread():
        return _call_interruptibly(call, timeout_s=timeout_s, stop=stop)
    return _call_in_thread(call, timeout_s=timeout_s, stop=stop)


@dataclass(frozen=True, slots=True)
class OnLoop:
    """An attempt on the event loop, beside others; its thread may do other things."""

    future: Future[Result]
    stop: StopButton

    @classmethod
    def start(
        cls, call: Callable[[], Result | Awaitable[Result]], *, stop: StopButton
    ) -> OnLoop:
        async def work() -> Result:
            try:
                made = call()
                return await made if isinstance(made, Awaitable) else made
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise WorkQuit.of(error) from error
            except (SystemExit, KeyboardInterrupt, FutureCancelled) as error:
                # These would end the loop, and every other step with it.
                raise WorkQuit.of(error) from error

        loop = current_loop()
        future = asyncio.run_coroutine_threadsafe(work(), loop)
        stop.wire(future.cancel)
        return cls(future, stop)

    def result(self, *, timeout_s: float) -> Result:
        """Wait for its end; raises what `run_attempt` raises."""
        try:
            return _outcome(self.future, timeout_s=timeout_s, stop=self.stop)
        finally:
            self.stop.unwire()


def _call_in_thread(
    call: Callable[[], Any], *, timeout_s: float, stop: StopButton
) -> Result:
    future: Future[Result] = Future()

    def work() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                result = call()
            except Exception as error:  # noqa: BLE001  (for the waiting thread)
                future.set_exception(error)
            except BaseException as error:  # noqa: BLE001
                future.set_exception(WorkQuit.of(error))
            else:
                future.set_result(result)

    stop.wire(future.cancel)
    threading.Thread(target=work, name="attempt", daemon=True).start()
    try:
        return _outcome(future, timeout_s=timeout_s, stop=stop)
    finally:
        stop.unwire()


def _outcome(future: Future[Result], *, timeout_s: float, stop: StopButton) -> Result:
    try:
        return future.result(timeout=max(timeout_s, 0))
    except FutureCancelled as error:
        if not future.cancelled():
            raise WorkQuit.of(error) from error
        raise AttemptStopped if stop.pressed else AttemptTimedOut from None
    except FutureTimeout:
        if future.done():  # it just ended, or raised a TimeoutError of its own
            return future.result()
        future.cancel()
        raise AttemptTimedOut from None


def _call_interruptibly(
    call: Callable[[], Any], *, timeout_s: float, stop: StopButton
) -> Result:
    """Call in this, the main thread; an alarm signal raises inside of the call."""
    armed = True

    def ring(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise AttemptStopped if stop.pressed else AttemptTimedOut

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(timeout_s, 0.001), _STUBBORN_S)
        stop.wire(lambda: signal.setitimer(signal.ITIMER_REAL, _AT_ONCE_S, _STUBBORN_S))
        result: Result = call()
        return result  # noqa: TRY300  (the alarm may ring up to here)
    except (AttemptStopped, AttemptTimedOut, Exception):
        raise
    except BaseException as error:
        raise WorkQuit.of(error) from error
    finally:
        armed = False
        stop.unwire()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
