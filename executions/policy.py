"""What becomes of an attempt that failed: a pure decision, taken by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core_orchestration.definition import Step
from executions.states import StepStatus

# A shorter wait is a message that a worker holds, a longer one a timer in PostgreSQL.
LONGEST_HELD_DELAY_S = 60.0
LONGEST_MESSAGE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that failed, as its runner or the clock classified it."""

    type: str
    message: str
    retryable: bool
    retry_after_s: float | None = None
    timed_out: bool = False

    def as_error(self, attempt: int) -> dict[str, Any]:
        """Return what is recorded: the message in a form that can be stored."""
        text = self.message[:LONGEST_MESSAGE].replace("\0", "\ufffd")
        message = text.encode("utf-8", "replace").decode()
        return {"type": self.type, "message": message, "attempt": attempt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The step ends with `status`; `fatal` says that the execution ends with it."""

    status: StepStatus
    fatal: bool


def decide(
    step: Step,
    failure: Failure,
    *,
    tries: int,
    chance: float,
    fits: Callable[[float], bool],
) -> Retry | GiveUp:
    """
    Say what follows a failure.

    `tries` counts the attempts made, those lost with their worker left out;
    `chance` in [0, 1) spreads the delay when the step asks for jitter; `fits` tells
    whether a wait of so many seconds leaves time for another attempt.
    """
    if failure.retryable and tries <= step.max_retries:
        delay_s = retry_delay_s(step, failure, tries=tries, chance=chance)
        if fits(delay_s):
            return Retry(delay_s=delay_s)
    status = StepStatus.TIMED_OUT if failure.timed_out else StepStatus.FAILED
    return GiveUp(status=status, fatal=step.on_error == "fail")


def retry_delay_s(step: Step, failure: Failure, *, tries: int, chance: float) -> float:
    """
    Return how long to wait before try number `tries` + 1, in seconds.

    What the other side asked for (`Retry-After`) counts where it is longer; jitter
    takes between half of the delay and all of it.
    """
    growth = min(step.retry_backoff ** (tries - 1), 1e12)
    delay_ms = min(step.retry_delay_ms * growth, step.retry_max_delay_ms)
    if step.retry_jitter:
        delay_ms *= 0.5 + chance / 2
    return max(delay_ms / 1000, failure.retry_after_s or 0.0)
