"""
Find what nobody else will move, and move it: the reconciler's work.

Each function does one kind of repair and says how many it did. What decides is the
record: leases that ended, timers that are due, deadlines that passed, and messages
that are provably lost, never mere slowness: under a backlog every execution is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import redis
from django.conf import settings

from executions import (
    control,
    lifecycle,
    passage,
    pinned,
    policy,
    queueing,
    resumption,
    signals,
)
from executions.announce import announce
from executions.database import UNREACHABLE, fetch
from executions.lifecycle.losses import OVERRUN, WORKER_GONE
from executions.lifecycle.pruning import BOUNDED_EACH, BOUNDS
from executions.paths import ROLLBACK, UNWIND, frame_of
from executions.runs import run_of
from executions.signatures import QUEUES
from executions.spending import budgets

log = logging.getLogger(__name__)

BATCH = 100
# A message published this long before one that has been delivered was delivered too.
_MARGIN_S = 2.0
AFTER_OUTAGE = timedelta(seconds=1)
_QUIET_S = 10.0  # without any sign of life before an execution is looked at

# Execution by execution: PostgreSQL does not see beforehand that each has its steps in
# one partition, and would read them all at once. OFFSET keeps it from that.
_RUNNING: LiteralString = """
SELECT e.id, s.id, s.path, s.crashes
FROM executions_execution e, {bounds}, LATERAL (
  SELECT * FROM executions_steprun s
  WHERE s.execution_id = e.id AND s.status = 'running' AND {bounded} OFFSET 0) s
WHERE e.status IN ('running', 'waiting', 'paused')
  AND {lost} ORDER BY s.id LIMIT %(batch)s
"""
_LAPSED_RUNS = _RUNNING.format(bounds=BOUNDS, bounded=BOUNDED_EACH, lost=WORKER_GONE)
_OVERRUN = _RUNNING.format(bounds=BOUNDS, bounded=BOUNDED_EACH, lost=OVERRUN)
# After an outage of the database every lease has ended: workers get a beat to take
# theirs again, and to record what they have at hand.
_LAPSED_WORKERS: LiteralString = """
SELECT w.id FROM executions_worker w
WHERE w.lease_until < clock_timestamp()
  AND pg_postmaster_start_time() < clock_timestamp() - %(beat)s::interval
ORDER BY w.lease_until LIMIT %(batch)s
"""
_BURY: LiteralString = """
DELETE FROM executions_worker w
WHERE w.id = ANY(%(ids)s) AND w.lease_until < clock_timestamp() RETURNING w.id
"""


def free_lost_steps() -> int:
    """Free the steps of workers whose lease has ended, and forget the workers."""
    params = {"batch": BATCH, "beat": settings.CORE_HEARTBEAT + AFTER_OUTAGE}
    workers = [row[0] for row in fetch(_LAPSED_WORKERS, params)]
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


def free_overrun_steps() -> int:
    """
    Free steps whose worker lives but should long have ended them.

    A worker records the end of an attempt seconds after its deadline at the latest;
    one that has not does not know of the step.
    """
    return sum(_safely(_free, *row) for row in fetch(_OVERRUN, {"batch": BATCH}))


def _free(execution_id: UUID, step_run_id: UUID, path: str, crashes: int) -> bool:
    address = resumption.address_of(execution_id)
    planned = pinned.plan_in(address.version, frame_of(path)).by_path[path]
    limit = settings.CORE_MAX_CRASHES
    if planned.step.at_most_once:
        log.error("Step %s of %s needs attention.", path, execution_id)
        announce(execution_id)
        return lifecycle.put_aside(step_run_id, among=planned.block.ordinals)
    if crashes < limit:
        log.warning("Step %s of %s lost its worker.", path, execution_id)
        return lifecycle.return_lost(step_run_id, max_crashes=limit, wake=True)
    run = run_of(address, planned)
    log.error("Step %s of %s crashed too often.", path, execution_id)
    announce(execution_id)
    return lifecycle.give_up_crashed(run, fatal=planned.step.on_error == "fail")


_HEARING = timedelta(seconds=1)


def hear_ended_frames() -> int:
    """Have steps hear of their frames' ends that nobody has told them of."""
    rows = lifecycle.unheard(age=_HEARING, batch=BATCH)
    return sum(_safely(_hear, *row) for row in rows)


def _hear(execution_id: UUID, container: str) -> bool:
    address = resumption.address_of(execution_id).at(frame_of(container))
    if container in (UNWIND, ROLLBACK):
        passage.finish_unwinding(address)
        return True
    planned = pinned.plan_of(address).by_path[container]
    passage.hear(address, planned)
    announce(execution_id)
    return True


def hear_ended_children() -> int:
    """Have steps hear that the executions which they run have ended."""
    rows = lifecycle.unheard_children(batch=BATCH)
    return sum(_safely(_hear_child, *row) for row in rows)


def _hear_child(child_id: UUID, parent_id: UUID, path: str) -> bool:
    address = resumption.address_of(parent_id).at(frame_of(path))
    planned = pinned.plan_of(address).by_path[path]
    passage.hear_child(address, planned, child_id)
    announce(parent_id)
    return True


def end_forsaken_children() -> int:
    """Cancel executions whose parent has ended, or waits for them no more."""
    rows = lifecycle.forsaken_children(batch=BATCH)
    return sum(_safely(_forsake, child_id) for child_id in rows)


def _forsake(child_id: UUID) -> bool:
    reason = "The execution that started it waits for it no more."
    return control.cancel(child_id, by=None, reason=reason)


def signals_are_left() -> bool:
    """Tell whether there are events that their senders have not handed out."""
    return signals.are_left()


def hand_out_signals() -> int:
    """Hand those out; with very many who wait for them that takes its time."""
    return sum(map(signals.hand_out, signals.left()))


# A timer that fired is put off, not taken away: should this process die before it
# has done its work, the timer fires again. The end of a cancellation's grace is not
# put off by a timer that fires before.
_DUE: LiteralString = """
WITH due AS (
  SELECT x.id,
    (x.cancel_request->>'at')::timestamptz + %(grace)s::interval AS grace_ends_at
  FROM executions_execution x
  WHERE x.wake_at <= clock_timestamp()
  ORDER BY x.wake_at LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED)
UPDATE executions_execution x
SET wake_at = CASE WHEN due.grace_ends_at > clock_timestamp()
  THEN least(due.grace_ends_at, clock_timestamp() + %(put_off)s::interval)
  ELSE clock_timestamp() + %(put_off)s::interval END
FROM due WHERE x.id = due.id
RETURNING x.id, x.wake_at, coalesce(x.deadline_at <= clock_timestamp(), false),
  due.grace_ends_at <= clock_timestamp()
"""


def wake_due() -> int:
    """End executions whose time is over, and move those with a due timer."""
    params = {
        "batch": BATCH,
        "grace": control.CANCEL_GRACE,
        "put_off": resumption.PUT_OFF,
    }
    return sum(_safely(_wake, *row) for row in fetch(_DUE, params))


def _wake(
    execution_id: UUID,
    put_off_to: datetime,
    overdue: bool,
    given_up: bool | None,  # None: nobody wants it cancelled
) -> bool:
    if given_up is not None:
        lifecycle.finish_cancel(execution_id, whatever_runs=given_up)
    elif overdue:
        lifecycle.time_out(execution_id)
    else:
        _move(execution_id, put_off_to)
    announce(execution_id)
    return True


def _move(execution_id: UUID, put_off_to: datetime) -> None:
    queueing.expire_overdue(execution_id)
    resumption.go_on(execution_id)
    queue_at = queueing.next_end(execution_id)
    resumption.set_timer(execution_id, seen=put_off_to, queue_at=queue_at)


def _safely(act: Callable[..., bool], *item: Any) -> bool:
    """Do one item; a fault in it is logged and keeps nobody else waiting."""
    try:
        return act(*item)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("Execution %s could not be moved.", item[0])
        return False


def settle_lost_calls() -> int:
    """Count as spent what calls reserved that nobody will settle any more."""
    return budgets.sweep_expired(BATCH)


def wake_for_budgets() -> int:
    """Look at what began to wait for a budget while that was raised."""
    return budgets.raised_lately()


_UNHEARD_OF: LiteralString = """
SELECT e.id FROM executions_execution e, {bounds}
WHERE e.status IN ('pending', 'running') AND e.cancel_request IS NULL
  AND e.dispatched_at < clock_timestamp()
    - least(%(quiet)s * power(2, CASE WHEN EXISTS (
        SELECT 1 FROM executions_steprun s
        WHERE s.execution_id = e.id AND s.started_at > e.dispatched_at
          AND {bounded})
      THEN 0 ELSE e.resends END), 300) * interval '1 second'
  AND e.dispatched_at < %(past)s::timestamptz
  AND NOT EXISTS (
    SELECT 1 FROM executions_steprun s
    WHERE s.execution_id = e.id AND {bounded} AND (
      s.finished_at >= least(%(past)s::timestamptz,
        clock_timestamp() - %(quiet)s * interval '1 second')
      OR (s.status = 'retrying' AND s.retry_at BETWEEN
        clock_timestamp() - %(quiet)s * interval '1 second'
        AND clock_timestamp() + %(held)s * interval '1 second')
      OR (s.status = 'running' AND EXISTS (
        SELECT 1 FROM executions_worker w
        WHERE w.id = s.worker AND w.lease_until > clock_timestamp()))))
ORDER BY e.dispatched_at LIMIT %(batch)s
"""
_SUSPECTS = _UNHEARD_OF.format(bounds=BOUNDS, bounded=BOUNDED_EACH)


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
    return sum(
        _safely(resumption.redispatch, row[0]) for row in fetch(_SUSPECTS, params)
    )


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
