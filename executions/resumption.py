"""
Send what is left of an execution: on the canvas under way, or as a new one.

Both compile the canvas from the record alone. The one keeps the epoch, so that
messages still under way keep their meaning; the other makes them all stale.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from executions import dispatch, failpoints, lifecycle, passage, pinned, situation
from executions.canvas import Manner
from executions.database import fetch
from executions.plan import Plan
from executions.signatures import Address
from executions.situation import Situation

log = logging.getLogger(__name__)


# Which steps to send of the block at hand: all that may begin now, or those to which no
# message leads.
Which = Literal["all", "left"]


def go_on(execution_id: UUID, *, which: Which = "left") -> None:
    """Send the steps that are due, of the first block that is not settled."""
    known = situation.read_all(execution_id)
    if known is None or not known.goes_on:
        return
    address = address_of(execution_id)
    plan = pinned.plan(address.version)
    block = unsettled_block(plan, known)
    if block is None:
        passage.end(execution_id, address)
        return
    members = _due(execution_id, plan, block, known, which)
    if not members:
        lifecycle.rest(execution_id, among=plan.blocks[block].ordinals)
        return
    lifecycle.advance(execution_id, epoch=address.epoch, block=block)
    dispatch.send(
        plan,
        block,
        address,
        pins=known.role_pins,
        manner=Manner(members=members, recovery=which != "all"),
    )


_DUE_STEPS: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status IN ('pending', 'retrying')
  AND coalesce(s.retry_at, '-infinity') <= clock_timestamp()
  AND (%(all)s OR s.worker IS NULL)
"""
# Whoever settles the last step of a block leads on from it, if that is its worker.
_LEFT: LiteralString = """
SELECT s.worker IS NULL AND s.status <> 'skipped' FROM executions_steprun s
WHERE s.execution_id = %(execution)s
  AND s.ordinal BETWEEN %(first)s AND %(last)s
ORDER BY s.finished_at DESC NULLS FIRST LIMIT 1
"""


def _due(
    execution_id: UUID,
    plan: Plan,
    block: int,
    known: Situation,
    which: Which,
) -> Set[str]:
    members = {step.path for step in plan.of_block(plan.blocks[block])}
    started = members & known.rows.keys()
    params = {"execution": execution_id, "all": which == "all"}
    due = {row[0] for row in fetch(_DUE_STEPS, params)} & members
    if which == "all" or (not started and _was_left(execution_id, plan, block, known)):
        due |= members - started
    return due


def _was_left(execution_id: UUID, plan: Plan, block: int, known: Situation) -> bool:
    """Tell whether no message leads to a block: it was never sent, nor led to."""
    if known.cursor >= block:
        return False
    before = plan.blocks[block - 1].ordinals
    params = {"execution": execution_id, "first": before[0], "last": before[-1]}
    return any(left for (left,) in fetch(_LEFT, params))


def redispatch(execution_id: UUID) -> bool:
    """
    Compile the canvas of what is left and send it under a new epoch.

    Every message sent before is dead on arrival. False when there is nothing to
    send: steps wait for their timers, or somebody else moved the execution.
    """
    known = situation.read_all(execution_id)
    if known is None:
        return False
    address = address_of(execution_id)
    plan = pinned.plan(address.version)
    block = unsettled_block(plan, known)
    if block is None:
        passage.end(execution_id, address)
        return True
    members = unsettled(plan, block, known) - _not_due(execution_id)
    if not members:
        lifecycle.leave(execution_id, epoch=known.epoch)
        lifecycle.rest(execution_id, among=plan.blocks[block].ordinals)
        return False
    epoch = lifecycle.next_epoch(execution_id, epoch=known.epoch, block=block)
    if epoch is None:
        return False
    log.warning("Execution %s is sent again from block %s.", execution_id, block)
    fresh = Address(execution=address.execution, version=address.version, epoch=epoch)
    failpoints.reach("in_resend")
    manner = Manner(members=members, recovery=True)
    dispatch.send(plan, block, fresh, pins=known.role_pins, manner=manner)
    return True


_NOT_DUE: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND (
  s.status IN ('waiting', 'needs_attention')
  OR (s.status = 'retrying' AND s.retry_at > clock_timestamp()))
"""


def _not_due(execution_id: UUID) -> set[str]:
    return {row[0] for row in fetch(_NOT_DUE, {"execution": execution_id})}


_ADDRESS: LiteralString = """
SELECT e.version_id, e.epoch FROM executions_execution e
WHERE e.id = %(execution)s
"""


def address_of(execution_id: UUID) -> Address:
    """Address the canvas that is under way."""
    version, epoch = fetch(_ADDRESS, {"execution": execution_id})[0]
    return Address(execution=str(execution_id), version=str(version), epoch=epoch)


def unsettled(plan: Plan, block: int, known: Situation) -> set[str]:
    """List the steps of a block that are not settled, by path."""
    return {step.path for step in plan.of_block(plan.blocks[block])} - known.settled


def unsettled_block(plan: Plan, known: Situation) -> int | None:
    """Return the first block with a step that is not settled, None if all are."""
    block = plan.first_open(known.settled, start=known.cursor)
    return None if block is None else block.index


# Who set the timer anew meanwhile (it is not at `seen` any more) is not overruled.
_SET_TIMER: LiteralString = """
UPDATE executions_execution x
SET wake_at = least(x.deadline_at, later.retry_at, %(queue_at)s::timestamptz)
FROM (SELECT min(s.retry_at) AS retry_at FROM executions_steprun s
      WHERE s.execution_id = %(execution)s AND s.status = 'retrying'
        AND s.retry_at > clock_timestamp()) later
WHERE x.id = %(execution)s AND x.cancel_request IS NULL
  AND x.status IN ('pending', 'running', 'waiting')
  AND x.wake_at IS NOT DISTINCT FROM %(seen)s::timestamptz
RETURNING x.id
"""


def look_again(execution_id: UUID) -> None:
    """Have the reconciler look at an execution when its next retry is due."""
    for (retry_at,) in fetch(_NEXT_RETRY, {"execution": execution_id}):
        if retry_at is not None:
            lifecycle.wake_execution(execution_id, at=retry_at)


_NEXT_RETRY: LiteralString = """
SELECT min(s.retry_at) FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status = 'retrying'
  AND s.retry_at > clock_timestamp()
"""


def set_timer(
    execution_id: UUID, *, seen: datetime | None, queue_at: datetime | None = None
) -> None:
    """Have the reconciler look at an execution when its next timer is due."""
    params = {"execution": execution_id, "seen": seen, "queue_at": queue_at}
    fetch(_SET_TIMER, params)
