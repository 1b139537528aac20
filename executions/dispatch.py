"""Send canvases: the one place where messages leave, always after a commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from celery.canvas import Signature
from django.db import connection, transaction
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from executions import canvas, failpoints, lifecycle, pinned
from executions.canvas import AT_ONCE, Manner
from executions.plan import Plan, PlannedStep
from executions.signatures import CONTROL_QUEUE, Address
from roles.runners import runner_for

log = logging.getLogger(__name__)


def pool_of(planned: PlannedStep, *, pins: Mapping[str, str]) -> str:
    """Name the pool that a step's pinned role works in; without one, the engine's."""
    if not planned.step.has_role:
        return CONTROL_QUEUE
    role = pinned.role(pins[planned.role])
    return runner_for(role.kind).pool(role)


def send(
    plan: Plan,
    block: int,
    address: Address,
    *,
    pins: Mapping[str, str],
    manner: Manner = AT_ONCE,
) -> None:
    """
    Send what goes on with a block, once the open transaction has committed.

    A broker that is away loses nothing: the execution is in PostgreSQL, and the
    reconciler sends what did not leave here.
    """
    send_all(plan, block, [(address, pins)], manner=manner)


def send_all(
    plan: Plan,
    block: int,
    executions: Sequence[tuple[Address, Mapping[str, str]]],
    *,
    manner: Manner = AT_ONCE,
) -> None:
    """Do the same for executions of one plan, each with its pins."""
    expected = [UUID(address.execution) for address, _ in executions]
    expect(plan, block, *expected, delay_s=manner.delay_s)

    def messages() -> Iterator[Signature[Any]]:
        for address, pins in executions:
            pool = partial(pool_of, pins=pins)
            yield from canvas.from_block(plan, block, address, pool, manner)

    _publish(messages(), of=executions[0][0].execution)


def start_all(
    plan: Plan, addresses: Sequence[Address], *, pins: Mapping[str, str]
) -> None:
    """Send the beginnings of executions of one plan that have the same pins."""
    messages = canvas.together(plan, addresses, partial(pool_of, pins=pins))
    if not messages:
        send_all(plan, 0, [(address, pins) for address in addresses])
        return
    expect(plan, 0, *(UUID(address.execution) for address in addresses))
    _publish(messages, of=addresses[0].execution)


def start_frames(
    address: Address,
    plans: Sequence[Plan],
    *,
    pins: Mapping[str, str],
    under_way: int,
) -> None:
    """Send the beginnings of frames of one body, of so many that are open."""
    pool = partial(pool_of, pins=pins)
    messages = canvas.into_frames(address, plans, pool, under_way=under_way)
    if not messages:
        for plan in plans:
            send(plan, 0, address.at(plan.frame), pins=pins)
        return
    expect(plans[0], 0, UUID(address.execution))
    _publish(messages, of=address.execution)


def _publish(messages: Iterable[Signature[Any]], *, of: str) -> None:
    def publish() -> None:
        failpoints.reach("in_dispatch")
        try:
            # No producer is held around this: a chord takes one itself, and ten
            # threads with one each would wait for their second one for ever.
            for message in messages:
                message.apply_async()
        except (BrokerError, RedisError, OSError) as error:
            log.warning("Execution %s, or others with it, is sent later: %s", of, error)

    # Asking `on_commit` outside of a transaction would take a pooled connection and
    # keep it: with many threads the pool ran dry, and the heartbeat with it.
    if connection.in_atomic_block:
        transaction.on_commit(publish)
    else:
        publish()


def expect(plan: Plan, block: int, *execution_ids: UUID, delay_s: float = 0.0) -> None:
    """Have the reconciler see to it that a block's steps find workers in time."""
    waiting = plan.queued_for_a_time(plan.blocks[block])
    if waiting:
        limit_ms = min(planned.step.queue_timeout_ms or 0 for planned in waiting)
        in_ms = limit_ms + round(delay_s * 1000)
        lifecycle.wake_execution(*execution_ids, in_ms=in_ms)
