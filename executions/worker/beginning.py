"""
Begin a step, or find out that it is not to be begun.

The answers that a message may get: here is the claim; the step is settled already,
so go on; it is not its turn, so drop the message; or come back later.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import LiteralString

from django.conf import settings

from executions import lifecycle, milestones, policy, situation
from executions.database import fetch, one_transaction
from executions.lifecycle import Claim, NewRun
from executions.lifecycle.locking import lock_execution
from executions.plan import Plan, PlannedStep
from executions.policy import Failure
from executions.situation import Situation
from executions.states import StepStatus
from executions.worker import perform
from executions.worker.leases import this_worker
from executions.worker.patience import insist, insist_and_tell
from executions.worker.prepare import Prepared

_LEASE_MARGIN_S = 0.5


class ComeBack(Exception):
    """The step at `path` is to be tried again in `delay_s` seconds."""

    def __init__(self, path: str, delay_s: float) -> None:
        super().__init__(f"{path} in {delay_s:.1f} s")
        self.path = path
        self.delay_s = delay_s


class Standing(Enum):
    """Why there is nothing to do for a step."""

    SETTLED = auto()
    NOT_ITS_TURN = auto()
    FALLEN = auto()  # it has just ended its frame, or the execution


def begin(
    prepared: Prepared, planned: PlannedStep, known: Situation
) -> Claim | Standing:
    """
    Claim a step that is ready, or settle it at once.

    Raises ComeBack when another worker has it, or its retry is not due.
    """
    if prepared.skip:
        if not lifecycle.skip(prepared.run):
            return _taken(planned, prepared.run)
        known.remember(planned.path, lifecycle.Outcome(status=StepStatus.SKIPPED))
        return Standing.SETTLED
    if planned.step.milestone is not None and planned.path not in known.rows:
        claim = insist(lambda: _claim_in_time(prepared.run, planned))
        if claim is None and insist(lambda: lifecycle.skip(prepared.run)):
            known.remember(planned.path, lifecycle.Outcome(status=StepStatus.SKIPPED))
            return Standing.SETTLED
    else:
        claim = _claim(prepared.run, execution_started=known.status == "running")
    if claim is None:
        return _taken(planned, prepared.run)
    known.status = "running"
    if prepared.refusal:
        return _refuse(claim, planned, prepared.refusal, known)
    return claim


def standing(plan: Plan, planned: PlannedStep, known: Situation) -> Standing | None:
    """Say why a step is not to be begun; None when it is ready."""
    row = known.rows.get(planned.path)
    if row and row.is_settled:
        return Standing.SETTLED
    return None if situation.is_ready(plan, planned, known) else Standing.NOT_ITS_TURN


def own_claim(run: NewRun) -> Claim | None:
    """Recognise a claim that was committed although its reply was lost."""
    worker = this_worker()
    if worker.identity() != run.worker or worker.is_running(run.id):
        return None
    return lifecycle.claim_of(run)


def _claim_in_time(run: NewRun, planned: PlannedStep) -> Claim | None:
    """Claim a step if its milestone is not past; None also if it was not to be had."""
    with one_transaction():
        lock_execution(run.execution_id)
        if milestones.is_past(run.execution_id, planned):
            return None
        return lifecycle.claim(run, execution_started=False) or own_claim(run)


def _claim(run: NewRun, *, execution_started: bool) -> Claim | None:
    claim, repeated = insist_and_tell(
        lambda: lifecycle.claim(run, execution_started=execution_started)
    )
    return insist(lambda: own_claim(run)) if claim is None and repeated else claim


def _refuse(
    claim: Claim, planned: PlannedStep, refusal: Failure, known: Situation
) -> Standing:
    ended = perform.refuse(claim, planned, refusal)
    if ended.is_fatal:
        insist(lambda: lifecycle.settle_and_fail(claim, ended.outcome))
        return Standing.FALLEN
    insist(lambda: lifecycle.settle(claim, ended.outcome))
    known.remember(planned.path, ended.outcome)
    return Standing.SETTLED


_WHOSE: LiteralString = """
SELECT s.status,
  extract(epoch FROM s.retry_at - clock_timestamp())::float8,
  (SELECT extract(epoch FROM w.lease_until - clock_timestamp())::float8
   FROM executions_worker w WHERE w.id = s.worker)
FROM executions_steprun s WHERE s.id = %(id)s
"""


def _taken(planned: PlannedStep, run: NewRun) -> Standing:
    """Find out why a step was not to be had, and whether to wait or to take over."""
    for status, retry_s, lease_s in fetch(_WHOSE, {"id": run.id}):
        match status:
            case "completed" | "failed" | "timed_out" | "skipped" | "cancelled":
                return Standing.SETTLED
            case "retrying" if retry_s <= policy.LONGEST_HELD_DELAY_S:
                raise ComeBack(planned.path, max(retry_s, 0.0))
            case "running" if lease_s is not None and lease_s > 0:
                raise ComeBack(planned.path, lease_s + _LEASE_MARGIN_S)
            case "running":
                _take_over(planned, run)
    return Standing.NOT_ITS_TURN


def _take_over(planned: PlannedStep, run: NewRun) -> None:
    """Free a step whose worker is gone, and come back for it at once."""
    if planned.step.at_most_once:
        lifecycle.put_aside(run.id, among=planned.block.ordinals)
        return
    limit = settings.CORE_MAX_CRASHES
    if lifecycle.return_lost(run.id, max_crashes=limit, wake=False):
        raise ComeBack(planned.path, 0.0)
    lifecycle.give_up_crashed(run, fatal=planned.step.on_error == "fail")
