"""Move the canvas on: past a window's end, and past a parallel group's join."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from core_orchestration.language import TemplateRenderError
from executions import dispatch, lifecycle, output, pinned, signatures, situation
from executions.announce import announce
from executions.canvas import Manner
from executions.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A step that is left to the one who asked: its path, and its pool."""

    path: str
    pool: str


def reach(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """Go on with a block, as `advance` does, if everything before it is settled."""
    before = pinned.plan(address.version).blocks[block - 1]
    if situation.all_settled(UUID(address.execution), before):
        return advance(address, block, here=here)
    return None


def advance(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """
    Go on with a block; of several who ask, one does.

    A step whose queue is among those that the one who asks serves (`here`) is left to
    it; all else is sent.
    """
    pins = lifecycle.advance(UUID(address.execution), epoch=address.epoch, block=block)
    if pins is None:
        return None
    plan = pinned.plan(address.version)
    first = plan.of_block(plan.blocks[block])[0]
    pool = dispatch.pool_of(first, pins=pins)
    if not first.block.is_group and signatures.queue_of(pool) in here:
        return Here(path=first.path, pool=pool)
    dispatch.send(plan, block, address, pins=pins)
    return None


def block_of(address: Address, path: str) -> int:
    """Tell which block the step at `path` belongs to."""
    return pinned.plan(address.version).by_path[path].block.index


def send_members(
    address: Address, paths: Collection[str], *, delay_s: float = 0.0
) -> None:
    """Send steps of one block, each in a message that arrives after a delay."""
    known = situation.read(UUID(address.execution), ())
    if known is None or not known.is_current(address.epoch):
        return
    plan, block = pinned.plan(address.version), block_of(address, min(paths))
    manner = Manner(members=paths, singly=True, delay_s=delay_s)
    dispatch.send(plan, block, address, pins=known.role_pins, manner=manner)


def join(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """Go on after a parallel group if every step of it is settled, or end there."""
    execution_id = UUID(address.execution)
    plan = pinned.plan(address.version)
    if not situation.all_settled(execution_id, plan.blocks[block]):
        return None
    following = plan.next_block(plan.blocks[block])
    if following is not None:
        return advance(address, following.index, here=here)
    end(execution_id, address)
    return None


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
