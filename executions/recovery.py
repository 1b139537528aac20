"""
Find what nobody else will move, and move it: the reconciler's work.

Each function does one kind of repair and says how many it did. What decides is the
record: leases that ended, timers that are due, deadlines that passed, and messages
that are provably lost, never mere slowness: under a backlog every execution is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import redis
from django.conf import settings

from executions import (
    dispatch,
    failpoints,
    lifecycle,
    passage,
    pinned,
    policy,
    situation,
)
from executions.announce import announce
from executions.database import UNREACHABLE, fetch
from executions.lifecycle import NewRun
from executions.plan import Plan
from executions.signatures import QUEUES, Address
from executions.situation import Situation

log = logging.getLogger(__name__)

BATCH = 100
# A message published this long before one that has been delivered was delivered too.
_MARGIN_S = 2.0
_QUIET_S = 10.0  # without any sign of life before an execution is looked at

_LAPSED_RUNS: LiteralString = """
SELECT s.execution_id, s.id, s.path, s.crashes
FROM executions_execution e
JOIN executions_steprun s ON s.execution_id = e.id
WHERE e.status = 'running' AND s.status = 'running' AND NOT EXISTS (
  SELECT 1 FROM executions_worker w
  WHERE w.id = s.worker AND w.lease_until > clock_timestamp())
ORDER BY s.id LIMIT %(batch)s
"""
_LAPSED_WORKERS: LiteralString = """
SELECT w.id FROM executions_worker w
WHERE w.lease_until < clock_timestamp() ORDER BY w.lease_until LIMIT %(batch)s
"""
_BURY: LiteralString = """
DELETE FROM executions_worker w
WHERE w.id = ANY(%(ids)s) AND w.lease_until < clock_timestamp() RETURNING w.id
"""


def free_lost_steps() -> int:
    """Free the steps of workers whose lease has ended, and forget the workers."""
    workers = [row[0] for row in fetch(_LAPSED_WORKERS, {"batch": BATCH})]
    if not workers:
        return 0
    freed = 0
    while rows := fetch(_LAPSED_RUNS, {"batch": BATCH}):
        done = sum(_safely(_free, *row) for row in rows)
        freed += done
        if not done:
            break
    fetch(_BURY, {"ids": workers})
    return freed


def _free(execution_id: UUID, step_run_id: UUID, path: str, crashes: int) -> bool:
    limit = settings.CORE_MAX_CRASHES
    if crashes < limit:
        log.warning("Step %s of %s lost its worker.", path, execution_id)
        return lifecycle.return_lost(step_run_id, max_crashes=limit, wake=True)
    address = _address(execution_id)
    planned = pinned.plan(address.version).by_path[path]
    run = NewRun(
        id=step_run_id,
        execution_id=execution_id,
        epoch=address.epoch,
        ordinal=planned.ordinal,
        path=path,
        key=planned.step.key,
        role_name="",
        worker=step_run_id,
        input=None,
        timeout_ms=planned.step.timeout_ms,
    )
    log.error("Step %s of %s crashed too often.", path, execution_id)
    announce(execution_id)
    return lifecycle.give_up_crashed(run, fatal=planned.step.on_error == "fail")


# A timer that fired is put off, not taken away: should this process die before it
# has done its work, the timer fires again.
_DUE: LiteralString = """
WITH due AS (
  SELECT x.id FROM executions_execution x
  WHERE x.wake_at <= clock_timestamp()
  ORDER BY x.wake_at LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED)
UPDATE executions_execution x
SET wake_at = clock_timestamp() + interval '15 seconds'
FROM due WHERE x.id = due.id
RETURNING x.id, x.wake_at, coalesce(x.deadline_at <= clock_timestamp(), false)
"""


def wake_due() -> int:
    """End executions whose deadline passed, and resume those with a due timer."""
    return sum(_safely(_wake, *row) for row in fetch(_DUE, {"batch": BATCH}))


def _wake(execution_id: UUID, put_off_to: datetime, overdue: bool) -> bool:
    if overdue:
        lifecycle.time_out(execution_id)
        announce(execution_id)
    else:
        resume(execution_id)
    fetch(_SET_TIMER, {"execution": execution_id, "put_off_to": put_off_to})
    return True


def _safely(act: Callable[..., bool], *item: Any) -> bool:
    """Do one item; a fault in it is logged and keeps nobody else waiting."""
    try:
        return act(*item)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("Execution %s could not be moved.", item[0])
        return False


def resume(execution_id: UUID) -> None:
    """
    Send the steps that are due.

    The epoch stays: messages of this canvas that are still under way, such as a
    group's other members, keep their meaning.
    """
    known = situation.read_all(execution_id)
    if known is None or known.status not in ("pending", "running"):
        return
    address = _address(execution_id)
    plan = pinned.plan(address.version)
    block = _unsettled_block(plan, known)
    if block is None:
        passage.end(execution_id, address)
        return
    due = {row[0] for row in fetch(_DUE_STEPS, {"execution": execution_id})}
    members = {step.path for step in plan.of_block(plan.blocks[block])}
    started = members & known.rows.keys()
    if started and not due & members:
        return
    lifecycle.advance(execution_id, epoch=address.epoch, block=block)
    dispatch.send(
        plan,
        block,
        address,
        pins=known.role_pins,
        members=(due & members) if started else None,
        recovery=True,
    )


_DUE_STEPS: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status IN ('pending', 'retrying')
  AND coalesce(s.retry_at, '-infinity') <= clock_timestamp()
"""
# Who set the timer anew meanwhile is not overruled.
_SET_TIMER: LiteralString = """
UPDATE executions_execution x SET wake_at = least(x.deadline_at, later.retry_at)
FROM (SELECT min(s.retry_at) AS retry_at FROM executions_steprun s
      WHERE s.execution_id = %(execution)s AND s.status = 'retrying'
        AND s.retry_at > clock_timestamp()) later
WHERE x.id = %(execution)s AND x.wake_at = %(put_off_to)s
RETURNING x.id
"""


_SUSPECTS: LiteralString = """
SELECT e.id FROM executions_execution e
WHERE e.status IN ('pending', 'running')
  AND e.dispatched_at < clock_timestamp()
    - least(%(quiet)s * power(2, CASE WHEN EXISTS (
        SELECT 1 FROM executions_steprun s
        WHERE s.execution_id = e.id AND s.started_at > e.dispatched_at)
      THEN 0 ELSE e.resends END), 300) * interval '1 second'
  AND e.dispatched_at < %(past)s::timestamptz
  AND NOT EXISTS (
    SELECT 1 FROM executions_steprun s
    WHERE s.execution_id = e.id AND (
      s.finished_at >= least(%(past)s::timestamptz,
        clock_timestamp() - %(quiet)s * interval '1 second')
      OR (s.status = 'retrying' AND s.retry_at BETWEEN
        clock_timestamp() - %(quiet)s * interval '1 second'
        AND clock_timestamp() + %(held)s * interval '1 second')
      OR (s.status = 'running' AND EXISTS (
        SELECT 1 FROM executions_worker w
        WHERE w.id = s.worker AND w.lease_until > clock_timestamp()))
      OR s.status IN ('waiting', 'needs_attention')))
ORDER BY e.dispatched_at LIMIT %(batch)s
"""


def resend_lost(broker: redis.Redis) -> int:
    """
    Send again the executions whose message is provably lost.

    A queue is first in, first out: what was published before a message that has
    been delivered is no longer in it, and in an empty queue is nothing. What is
    neither in a queue nor with a live worker is lost.
    """
    past = _everything_before(broker)
    params = {
        "quiet": _QUIET_S,
        "past": past,
        "batch": BATCH,
        "held": policy.LONGEST_HELD_DELAY_S,
    }
    return sum(_safely(redispatch, row[0]) for row in fetch(_SUSPECTS, params))


_DELIVERED: LiteralString = """
SELECT queue.key, max(queue.value::float8)
FROM executions_worker w, jsonb_each_text(w.delivered) AS queue GROUP BY queue.key
"""
_TIME: LiteralString = "SELECT to_timestamp(%(seconds)s)::text"


def _everything_before(broker: redis.Redis) -> str:
    """
    Return the time before which every published message has left its queue.

    Raises RedisError when the broker cannot say.
    """
    delivered: Mapping[str, float] = dict(fetch(_DELIVERED, {}))
    marks = [
        delivered.get(queue, 0.0) - _MARGIN_S for queue in QUEUES if broker.llen(queue)
    ]
    if not marks:
        return "infinity"
    return str(fetch(_TIME, {"seconds": min(marks)})[0][0])


def redispatch(execution_id: UUID) -> bool:
    """
    Compile the canvas of what is left and send it under a new epoch.

    Every message sent before is dead on arrival. False when there is nothing to
    send: steps wait for their timers, or somebody else moved the execution.
    """
    known = situation.read_all(execution_id)
    if known is None:
        return False
    address = _address(execution_id)
    plan = pinned.plan(address.version)
    block = _unsettled_block(plan, known)
    if block is None:
        passage.end(execution_id, address)
        return True
    members = _unsettled(plan, block, known) - _with_a_timer(execution_id)
    if not members:
        lifecycle.leave(execution_id, epoch=known.epoch)
        return False
    epoch = lifecycle.next_epoch(execution_id, epoch=known.epoch, block=block)
    if epoch is None:
        return False
    log.warning("Execution %s is sent again from block %s.", execution_id, block)
    failpoints.reach("in_resend")
    fresh = Address(execution=address.execution, version=address.version, epoch=epoch)
    dispatch.send(
        plan, block, fresh, pins=known.role_pins, members=members, recovery=True
    )
    return True


_ADDRESS: LiteralString = """
SELECT e.version_id, e.epoch FROM executions_execution e
WHERE e.id = %(execution)s
"""


def _address(execution_id: UUID) -> Address:
    version, epoch = fetch(_ADDRESS, {"execution": execution_id})[0]
    return Address(execution=str(execution_id), version=str(version), epoch=epoch)


_WITH_A_TIMER: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status = 'retrying'
  AND s.retry_at > clock_timestamp()
"""


def _with_a_timer(execution_id: UUID) -> set[str]:
    return {row[0] for row in fetch(_WITH_A_TIMER, {"execution": execution_id})}


def _unsettled(plan: Plan, block: int, known: Situation) -> set[str]:
    steps = plan.of_block(plan.blocks[block])
    return {
        step.path
        for step in steps
        if step.path not in known.rows or not known.rows[step.path].is_settled
    }


def _unsettled_block(plan: Plan, known: Situation) -> int | None:
    """Return the first block with a step that is not settled, None if all are."""
    for block in plan.blocks[known.cursor :]:
        if _unsettled(plan, block.index, known):
            return block.index
    return None
