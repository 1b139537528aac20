"""
What follows an attempt whose end settles nothing, or ends everything.

It was stopped, waits, is to be tried again, or takes the execution with it. What simply
succeeded, and failures that the execution survives, are recorded by those who go on.
"""

from __future__ import annotations

from executions import lifecycle, policy
from executions.lifecycle import Claim
from executions.plan import PlannedStep
from executions.policy import Retry
from executions.worker import parking
from executions.worker.beginning import ComeBack
from executions.worker.patience import insist, insist_and_tell
from executions.worker.perform import Ended


def leads_on(ended: Ended | None) -> bool:
    """Tell whether an attempt settled its step and lets the execution go on."""
    return ended is not None and not (
        ended.parked or isinstance(ended.verdict, Retry) or ended.is_fatal
    )


def conclude(claim: Claim, planned: PlannedStep, ended: Ended | None) -> None:
    """
    Record the end of an attempt that does not lead on.

    Raises ComeBack when the step is to be tried again by a message that waits.
    """
    if ended is None:
        insist(lambda: lifecycle.give_back(claim))
        insist(lambda: lifecycle.finish_cancel(claim.run.execution_id))
    elif ended.parked is not None:
        parking.park(claim, planned, ended.parked)
    elif isinstance(ended.verdict, Retry):
        _retry(claim, ended, ended.verdict)
    else:
        insist(lambda: lifecycle.settle_and_fail(claim, ended.outcome))


def _retry(claim: Claim, ended: Ended, retry: Retry) -> None:
    timer = retry.delay_s > policy.LONGEST_HELD_DELAY_S
    recorded, repeated = insist_and_tell(
        lambda: lifecycle.schedule_retry(
            claim, ended.outcome, delay_s=retry.delay_s, timer=timer
        )
    )
    if repeated and not recorded:
        recorded = insist(lambda: lifecycle.is_scheduled(claim))
    if recorded and not timer:
        raise ComeBack(claim.run.path, retry.delay_s)
