"""
From a plan and the place where to go on to the Celery canvas of what is left.

Pure: the same plan, place and roles give the same canvas, so that starting,
recovering and going on after a wait are one act. A chain's message carries the rest
of the chain and a chord's messages carry the body each; so chains come in windows
that end in `advance`, and a chord's body is one small signature.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from celery import chain, chord
from celery.canvas import Signature

from core_orchestration.definition import Block
from executions import signatures
from executions.plan import Plan, PlannedStep
from executions.signatures import Address

WINDOW = 25

PoolOf = Callable[[PlannedStep], str]


def from_block(
    plan: Plan,
    index: int,
    address: Address,
    pool_of: PoolOf,
    *,
    members: Collection[str] | None = None,
    recovery: bool = False,
) -> Signature[Any]:
    """
    Compile what is to be sent for the canvas to go on with a block.

    `members` limits a parallel group to those of its steps, by path, that are not
    settled yet; `recovery` takes the queues that are served first.
    """
    block = plan.blocks[index]

    def message(planned: PlannedStep) -> Signature[Any]:
        return signatures.run_step(
            address,
            planned.path,
            queue=signatures.queue_of(pool_of(planned), recovery=recovery),
            timeout_ms=planned.step.timeout_ms,
        )

    if block.is_group:
        steps = plan.of_block(block)
        chosen = [s for s in steps if members is None or s.path in members]
        body = signatures.join(address, index)
        return chord([message(s) for s in chosen], body) if chosen else body
    return _window(plan, block, address, message)


def _window(
    plan: Plan,
    block: Block,
    address: Address,
    message: Callable[[PlannedStep], Signature[Any]],
) -> Signature[Any]:
    links: list[Signature[Any]] = []
    at: Block | None = block
    while at is not None and not at.is_group and len(links) < WINDOW:
        links.append(message(plan.of_block(at)[0]))
        at = plan.next_block(at)
    if at is not None:
        links.append(signatures.advance(address, at.index))
    return chain(*links) if len(links) > 1 else links[0]
