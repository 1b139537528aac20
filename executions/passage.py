"""Move the canvas on: past a window's end, and past a parallel group's join."""

from __future__ import annotations

from uuid import UUID

from core_orchestration.language import TemplateRenderError
from executions import dispatch, lifecycle, output, pinned, situation
from executions.announce import announce
from executions.signatures import Address


def reach(address: Address, block: int) -> None:
    """Go on with a block if everything before it is settled."""
    before = pinned.plan(address.version).blocks[block - 1]
    if situation.all_settled(UUID(address.execution), before):
        advance(address, block)


def advance(address: Address, block: int) -> None:
    """Go on with a block; of several who ask, one sends it."""
    pins = lifecycle.advance(UUID(address.execution), epoch=address.epoch, block=block)
    if pins is not None:
        plan = pinned.plan(address.version)
        dispatch.send(plan, block, address, pins=pins)


def join(address: Address, block: int) -> None:
    """Go on after a parallel group if every step of it is settled."""
    execution_id = UUID(address.execution)
    plan = pinned.plan(address.version)
    if not situation.all_settled(execution_id, plan.blocks[block]):
        return
    following = plan.next_block(plan.blocks[block])
    if following is not None:
        advance(address, following.index)
        return
    end(execution_id, address)


def end(execution_id: UUID, address: Address) -> None:
    """Complete an execution whose every step is settled."""
    plan = pinned.plan(address.version)
    known = situation.read(execution_id, ())
    if known is None or known.epoch != address.epoch:
        return
    try:
        result = output.render(execution_id, plan, known)
    except TemplateRenderError as error:
        output.refuse(execution_id, address.epoch, error)
    else:
        lifecycle.complete(execution_id, epoch=address.epoch, output=result)
    announce(execution_id)
