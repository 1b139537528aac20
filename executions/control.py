"""
Steer executions that are under way, and those that ended badly.

Each verb says whether it did something: False means that it was so already. What
the execution's state does not allow raises Refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import LiteralString
from uuid import UUID

from executions import lifecycle, pinned, resumption, revivals, situation, trail
from executions.announce import announce
from executions.database import fetch
from executions.lifecycle import Request
from executions.models import Execution
from executions.plan import Plan, can_undo, undoable
from executions.situation import Situation
from executions.states import (
    ACTIVE_EXECUTION,
    TERMINAL_EXECUTION,
    ExecutionStatus,
)

# What running attempts get to end by themselves; their workers hear of it at a
# heartbeat, and the whole is to be over within ten seconds.
CANCEL_GRACE = timedelta(seconds=8)


class Refused(Exception):
    """The execution's state does not allow it; the message says what would."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def cancel(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    Let nothing more of an execution start, and end it when nothing of it runs.

    Running attempts are told at their worker's next heartbeat and may clean up; what
    they come to within CANCEL_GRACE is recorded. Its children are cancelled as well.
    """
    request = Request(by=by, reason=reason)
    ask = partial(lifecycle.request_cancel, execution_id, request, grace=CANCEL_GRACE)
    done = trail.steering(execution_id, "cancel", ask, reason=reason)
    if done:
        lifecycle.finish_cancel(execution_id)
        announce(execution_id)
    else:
        _check_cancelled(execution_id)
    _each_child(execution_id, cancel, by=by, reason=reason)
    return done


def terminate(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    End an execution at once, and its children; nothing that still runs is recorded.

    Effects of running attempts may happen all the same: use it when `cancel` waits
    for something that you do not want to wait for.
    """
    end = partial(lifecycle.terminate, execution_id, by=by, reason=reason)
    done = trail.steering(execution_id, "terminate", end, reason=reason)
    if done:
        announce(execution_id)
    else:
        _check_cancelled(execution_id)
    _each_child(execution_id, terminate, by=by, reason=reason)
    return done


def pause(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    Let no further step start until `resume`.

    What runs ends by itself and is recorded. Deadlines of the execution and its
    steps stand still meanwhile.
    """
    ask = partial(lifecycle.pause, execution_id, Request(by=by, reason=reason))
    done = trail.steering(execution_id, "pause", ask, reason=reason)
    if not done:
        now = _read(execution_id)
        if now.status != ExecutionStatus.PAUSED or now.cancel_request:
            raise _not_now(now, "be paused")
    announce(execution_id)
    return done


def resume(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """Let a paused execution go on where it is."""
    ask = partial(lifecycle.resume, execution_id, Request(by=by, reason=reason))
    done = trail.steering(execution_id, "resume", ask, reason=reason)
    if not done:
        now = _read(execution_id)
        if now.status in TERMINAL_EXECUTION or now.cancel_request:
            raise _not_now(now, "be resumed")
        return False
    resumption.go_on(execution_id, which="all")
    resumption.look_again(execution_id)
    announce(execution_id)
    return done


def retry(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    Let an execution that failed, timed out or was cancelled go on from there.

    Finished steps keep their outcomes. Those that failed or were cut off run again,
    under the same idempotency keys, with all their tries anew, and the execution's
    time starts anew. False when it is under way.
    """
    now = _read(execution_id)
    if now.cancel_request and now.status in ACTIVE_EXECUTION:
        raise _not_now(now, "be retried")
    # Its steps as they are after its end: what was cut off still ran before.
    known = situation.read_all(execution_id, pinned.plan(str(now.version_id)))
    if known is None or known.status in ACTIVE_EXECUTION:
        return False
    if known.status == ExecutionStatus.COMPLETED:
        raise Refused(
            "The execution is completed; fork it from a step, or run it again.",
            code="completed",
        )
    if lifecycle.undone_runs(execution_id):
        raise Refused(
            "Steps of the execution were undone, so it cannot go on from there; run it "
            "again.",
            code="undone",
        )
    plan = pinned.plan(str(now.version_id))
    revival = revivals.decide(plan, revivals.ended_runs(execution_id))
    for child in revival.children:  # before their parent waits for them again
        with suppress(Refused):
            retry(child, by=by, reason=reason)
    block = _first_block(plan, revival.paths, known)
    revive = partial(
        lifecycle.revive,
        execution_id,
        Request(by=by, reason=reason),
        epoch=known.epoch,
        block=block,
        again=revival.again,
        timeout_ms=plan.definition.timeout_ms,
    )
    if trail.steering(execution_id, "retry", revive, reason=reason) is None:
        return False
    resumption.go_on(execution_id, which="all")
    announce(execution_id)
    return True


def rollback(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    Undo the finished steps of an execution that say how, the last one first, each once.

    One that is under way is ended first, as cancelled; one that has ended keeps its
    status. False when nothing is left to be undone, or it is under way already.
    """
    now = _read(execution_id)
    plan = pinned.plan(str(now.version_id))
    if not can_undo(plan.definition):
        raise Refused(
            "None of the orchestration's steps says how to undo it: give them "
            "`compensate`.",
            code="nothing_to_undo",
        )
    if now.cancel_request and now.status in ACTIVE_EXECUTION:
        raise _not_now(now, "be rolled back")
    if now.status in TERMINAL_EXECUTION and not _is_to_undo(execution_id, plan):
        return False
    ask = partial(lifecycle.roll_back, execution_id, Request(by=by, reason=reason))
    done = trail.steering(execution_id, "rollback", ask, reason=reason)
    if done:
        resumption.go_on(execution_id)
    announce(execution_id)
    return done


def _is_to_undo(execution_id: UUID, plan: Plan) -> bool:
    return bool(lifecycle.done_runs(execution_id, undoable(plan.definition)))


def _first_block(plan: Plan, again: set[str], known: Situation) -> int:
    """Name the block to go on with: the first that is not finished without `again`."""
    block = plan.first_open(known.settled - again) or plan.blocks[-1]
    return block.index


_CHILDREN: LiteralString = """
SELECT x.id FROM executions_execution x
WHERE x.parent_execution_id = %(execution)s
  AND x.status IN ('pending', 'running', 'waiting', 'paused')
"""


def _each_child(
    execution_id: UUID, verb: Callable[..., bool], **request: str | None
) -> None:
    for (child,) in fetch(_CHILDREN, {"execution": execution_id}):
        with suppress(Refused):  # it has just ended by itself
            verb(child, **request)


def _read(execution_id: UUID) -> Execution:
    columns = ("status", "cancel_request", "version_id")
    found: Execution = Execution.objects.only(*columns).get(pk=execution_id)
    return found


def _check_cancelled(execution_id: UUID) -> None:
    now = _read(execution_id)
    if now.status in TERMINAL_EXECUTION and now.status != ExecutionStatus.CANCELLED:
        raise _not_now(now, "be cancelled")


def _not_now(now: Execution, what: str) -> Refused:
    if now.status in TERMINAL_EXECUTION:
        return Refused(
            f"The execution is {now.status} already and cannot {what}.",
            code="already_finished",
        )
    return Refused(
        f"The execution is being cancelled and cannot {what}.", code="being_cancelled"
    )
