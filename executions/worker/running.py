"""
Run a claimed step's attempt, in this thread or beside others on the event loop.

Its input is checked before and its output afterwards; meanwhile the worker's lease
holds for it, and whoever wants it to end has a button.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import current_thread, main_thread
from time import monotonic

from executions.agents import StepHost
from executions.lifecycle import Claim
from executions.plan import PlannedStep
from executions.worker.attempts import (
    AttemptTimedOut,
    OnLoop,
    StopButton,
    run_attempt,
)
from executions.worker.eventloop import replace_stuck_loop
from executions.worker.leases import Held, this_worker
from roles.runners import Attempt, Result, RoleSpec, runner_for, schemas
from roles.secrets.logs import discreet
from roles.secrets.opening import opened_role
from roles.secrets.redaction import Redactor

log = logging.getLogger(__name__)
step_log = logging.getLogger("core.steps")

Call = Callable[[], Result | Awaitable[Result]]
OnOverdue = Callable[[Claim], object]

_LOOP_PATIENCE_S = 1.0


def run(
    claim: Claim, planned: PlannedStep, role: RoleSpec, *, on_overdue: OnOverdue
) -> Result:
    """
    Run an attempt to its end, and have `on_overdue` called if it ignores its limit.

    Raises AttemptTimedOut, AttemptStopped, or whatever the work raises.
    """
    call, redactor = _call(claim, planned, role)
    awaits = runner_for(role.kind).pool(role) == "io"
    stop = StopButton()
    interrupts = not awaits and current_thread() is main_thread()
    held = _held(claim, stop, on_overdue, interrupts_process=interrupts)
    with this_worker().holding(held):
        try:
            with _discreetly(redactor):
                result = run_attempt(
                    call, awaits=awaits, timeout_s=claim.left_s, stop=stop
                )
        except AttemptTimedOut:
            if awaits:
                _replace_loop_if_stuck(planned)
            raise
    return _checked(role, result, redactor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """An attempt that runs beside others until its result is asked for."""

    planned: PlannedStep
    role: RoleSpec
    held: Held
    on_loop: OnLoop
    redactor: Redactor

    @classmethod
    def start(
        cls,
        claim: Claim,
        planned: PlannedStep,
        role: RoleSpec,
        *,
        on_overdue: OnOverdue,
        when_over: Callable[[], object],
    ) -> Beside:
        """
        Start an attempt of a role that awaits.

        `when_over` is called on the event loop, or by whoever stops it. Raises
        RunnerError for an input that does not fit the role.
        """
        call, redactor = _call(claim, planned, role)
        stop = StopButton()
        held = _held(claim, stop, on_overdue, interrupts_process=False)
        worker = this_worker()
        worker.hold(held)
        try:
            on_loop = OnLoop.start(call, stop=stop)
        except BaseException:
            worker.let_go(held)
            raise

        def over(_: object) -> None:
            worker.let_go(held)  # it ignores no limit, however late it is heard
            when_over()

        on_loop.future.add_done_callback(over)
        return cls(
            planned=planned, role=role, held=held, on_loop=on_loop, redactor=redactor
        )

    @property
    def deadline(self) -> float:
        """When its time is over, in monotonic seconds."""
        return self.held.deadline

    def result(self) -> Result:
        """Return what it came to, in what is left of its time; raises as `run` does."""
        try:
            left_s = self.deadline - monotonic()
            with _discreetly(self.redactor):
                result = self.on_loop.result(timeout_s=left_s)
        except AttemptTimedOut:
            _replace_loop_if_stuck(self.planned)
            raise
        finally:
            this_worker().let_go(self.held)
        return _checked(self.role, result, self.redactor)

    def abandon(self) -> None:
        """End it unheard."""
        self.held.stop.press()
        this_worker().let_go(self.held)


def _call(claim: Claim, planned: PlannedStep, role: RoleSpec) -> tuple[Call, Redactor]:
    """Make ready to run: the role's secrets are in place, for this attempt alone."""
    runner = runner_for(role.kind)
    schemas.check_input(role, runner.given(role, claim.run.input))
    opened, of_role = opened_role(role)
    redactor = Redactor({})  # of this attempt: an agent's models have secrets, too
    redactor.join(of_role)
    execution_id = str(claim.run.execution_id)
    logger = logging.LoggerAdapter(step_log, {"execution_id": execution_id})
    attempt = Attempt(
        execution_id=execution_id,
        step_key=planned.step.key,
        number=claim.attempt,
        idempotency_key=str(claim.run.id),
        deadline=claim.deadline,
        logger=discreet(logger, redactor),
        host=StepHost(claim=claim, role=role, redactor=redactor),
    )
    return partial(runner.run, opened, claim.run.input, attempt), redactor


@contextmanager
def _discreetly(redactor: Redactor) -> Iterator[None]:
    """Let no failure show a secret."""
    try:
        yield
    except Exception as error:
        told = redactor.failure(error)
        if told is error:
            raise
        raise told from None


def _checked(role: RoleSpec, result: Result, redactor: Redactor) -> Result:
    """Take secrets out of a result, and check that it is what the role promises."""
    if redactor:
        output, usage = redactor.value(result.output), redactor.value(result.usage)
        result = Result(output=output, usage=usage)
    schemas.check_output(role, result.output)
    return result


def _held(
    claim: Claim, stop: StopButton, on_overdue: OnOverdue, *, interrupts_process: bool
) -> Held:
    return Held(
        claim=claim,
        deadline=monotonic() + claim.left_s,
        stop=stop,
        on_overdue=on_overdue,
        interrupts_process=interrupts_process,
    )


def _replace_loop_if_stuck(planned: PlannedStep) -> None:
    if replace_stuck_loop(_LOOP_PATIENCE_S):
        log.warning("Step %s blocked the event loop.", planned.path)
