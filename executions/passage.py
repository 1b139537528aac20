"""
Move the canvas on: past a window's end and a group's join, into frames and out of them.

Whoever asks may do a step itself to which a message would only lead back: what is
returned is then left to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from core_orchestration.language import TemplateRenderError
from executions import (
    dispatch,
    lifecycle,
    native,
    output,
    pinned,
    signatures,
    situation,
)
from executions.announce import announce
from executions.canvas import Manner
from executions.database import one_transaction
from executions.lifecycle import Posted
from executions.native import Ending, Upshot
from executions.paths import container_of, frame_of, is_beside
from executions.plan import Plan, PlannedStep
from executions.signatures import Address

# Steps that end as soon as they begin lead on from one to the next. After so many in a
# row a message does, lest a loop of them be as deep as it has turns.
_MOST_IN_A_ROW = 10
_in_a_row: ContextVar[int] = ContextVar("in_a_row", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A step that is left to the one who asked: where, and in which pool."""

    address: Address
    path: str
    pool: str


def reach(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """Go on with a block, as `advance` does, if everything before it is settled."""
    plan = pinned.plan_of(address)
    if situation.all_settled(UUID(address.execution), plan, plan.blocks[block - 1]):
        return advance(address, block, here=here)
    return None


def advance(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """
    Go on with a block; of several who ask, one does.

    A step whose queue is among those that the one who asks serves (`here`) is left to
    it; what the engine does itself is begun, and all else is sent.
    """
    pins = move_to(address, block)
    if pins is None:
        return None
    return _go_to(address, pinned.plan_of(address), block, pins, here)


def _go_to(
    address: Address,
    plan: Plan,
    block: int,
    pins: Mapping[str, str],
    here: Collection[str],
) -> Here | None:
    first = plan.of_block(plan.blocks[block])[0]
    if not first.block.is_group:
        if not first.step.has_role:
            return begin(address, first, here=here)
        pool = dispatch.pool_of(first, pins=pins)
        if signatures.queue_of(pool) in here:
            return Here(address=address, path=first.path, pool=pool)
    dispatch.send(plan, block, address, pins=pins)
    return None


def move_to(address: Address, block: int) -> dict[str, str] | None:
    """
    Move an execution, or a frame, on to a block; None when another message has.

    The winner gets the execution's role pins.
    """
    execution_id = UUID(address.execution)
    if address.frame:
        return lifecycle.advance_frame(
            execution_id, address.frame, epoch=address.epoch, block=block
        )
    return lifecycle.advance(execution_id, epoch=address.epoch, block=block)


def begin(
    address: Address, planned: PlannedStep, *, here: Collection[str] = ()
) -> Here | None:
    """Let a step begin that the engine does itself, and go on from there."""
    return _follow(address, planned, native.begin(address, planned), here)


def hear(
    address: Address, planned: PlannedStep, *, here: Collection[str] = ()
) -> Here | None:
    """Let a step hear of its frames that have ended, and go on from there."""
    return _follow(address, planned, native.hear(address, planned), here)


def unwind(address: Address) -> None:
    """Begin with what is done after a failure, if that has not begun."""
    path = lifecycle.begin_unwinding(UUID(address.execution))
    known = situation.read(UUID(address.execution), ())
    if path is not None and known is not None:
        inside = address.at(path)
        _go_to(inside, pinned.plan_of(inside), 0, known.role_pins, ())


def finish_unwinding(address: Address) -> None:
    """End an execution whose steps are undone, and whose failure was seen to."""
    execution_id = UUID(address.execution)
    if lifecycle.finish_unwinding(execution_id):
        announce(execution_id)
        _tell_parent(execution_id)


def _tell_parent(child_id: UUID) -> None:
    for parent_id, version, epoch, path in lifecycle.waiting_parent(child_id):
        address = Address(
            execution=str(parent_id), version=str(version), epoch=epoch
        ).at(frame_of(path))
        hear_child(address, pinned.plan_of(address).by_path[path], child_id)
        announce(parent_id)


def hear_child(address: Address, planned: PlannedStep, child_id: UUID) -> None:
    """Let a step hear that its child has ended, and go on from there."""
    with one_transaction():
        _follow(address, planned, native.hear_child(address, planned, child_id), ())


def wake(address: Address, planned: PlannedStep) -> None:
    """Let a step see that its time has come, and go on from there."""
    with one_transaction():
        _follow(address, planned, native.wake(address, planned), ())


def look(address: Address, planned: PlannedStep, *, news: Posted | None = None) -> bool:
    """Let a step see whether the event that it waits for is there, and go on if so."""
    with one_transaction():
        upshot = native.look(address, planned, news=news)
        follow(address, planned, upshot)
    return upshot.ending is not None


def left(address: Address, *, here: Collection[str] = ()) -> Here | None:
    """Let those hear who wait for a frame that has ended, or for an execution."""
    if not address.frame:
        _tell_parent(UUID(address.execution))
        return None
    if is_beside(address.frame):
        finish_unwinding(address)
        return None
    around = address.around
    planned = pinned.plan_of(around).by_path[container_of(address.frame)]
    return hear(around, planned, here=here)


def follow(address: Address, planned: PlannedStep, upshot: Upshot) -> None:
    """
    Go on behind a step that was settled from outside.

    In the same transaction: what else could have come first is cut before it can.
    """
    _follow(address, planned, upshot, ())


def _follow(
    address: Address, planned: PlannedStep, upshot: Upshot, here: Collection[str]
) -> Here | None:
    before = _in_a_row.set(_in_a_row.get() + 1)
    try:
        return _lead_on(address, planned, upshot, here)
    finally:
        _in_a_row.reset(before)


def _lead_on(
    address: Address, planned: PlannedStep, upshot: Upshot, here: Collection[str]
) -> Here | None:
    if upshot.started:
        return _enter(address, upshot, here)
    match upshot.ending:
        case Ending.SETTLED if _in_a_row.get() > _MOST_IN_A_ROW:
            send_members(address, [planned.path])
        case Ending.SETTLED:
            return behind(address, planned, here=here)
        case Ending.FATAL if address.frame:
            return left(address, here=here)
        case Ending.LEFT:
            return left(address.at(upshot.left), here=here)
        case Ending.FATAL | Ending.OVER:
            announce(UUID(address.execution))
    return None


def _enter(address: Address, upshot: Upshot, here: Collection[str]) -> Here | None:
    """Send the first steps of frames that were opened, or leave a single one here."""
    known = situation.read(UUID(address.execution), ())
    if known is None:
        return None
    pins = known.role_pins
    plans = [pinned.plan_in(address.version, frame) for frame in upshot.started]
    if len(plans) == 1 and upshot.under_way == 1:
        plan = plans[0]
        return _go_to(address.at(plan.frame), plan, 0, pins, here)
    if upshot.apart:
        for plan in plans:
            dispatch.send(plan, 0, address.at(plan.frame), pins=pins)
    else:
        dispatch.start_frames(address, plans, pins=pins, under_way=upshot.under_way)
    return None


def behind(
    address: Address, planned: PlannedStep, *, here: Collection[str] = ()
) -> Here | None:
    """Go on behind a step that is settled, if nothing beside it is open."""
    if planned.block.is_group:
        return join(address, planned.block.index, here=here)
    following = planned.plan.next_block(planned.block)
    if following is None:
        return end(address, here=here)
    return advance(address, following.index, here=here)


def block_of(address: Address, path: str) -> int:
    """Tell which block the step at `path` belongs to."""
    return pinned.plan_of(address).by_path[path].block.index


def send_members(
    address: Address, paths: Collection[str], *, delay_s: float = 0.0
) -> None:
    """Send steps of one block, each in a message that arrives after a delay."""
    known = situation.read(UUID(address.execution), (), frame=address.frame)
    if known is None or not known.is_current(address.epoch):
        return
    plan, block = pinned.plan_of(address), block_of(address, min(paths))
    manner = Manner(members=paths, singly=True, delay_s=delay_s)
    dispatch.send(plan, block, address, pins=known.role_pins, manner=manner)


def join(address: Address, block: int, *, here: Collection[str] = ()) -> Here | None:
    """Go on after a parallel group if every step of it is settled, or end there."""
    plan = pinned.plan_of(address)
    if not situation.all_settled(UUID(address.execution), plan, plan.blocks[block]):
        return None
    following = plan.next_block(plan.blocks[block])
    if following is not None:
        return advance(address, following.index, here=here)
    return end(address, here=here)


def end(address: Address, *, here: Collection[str] = ()) -> Here | None:
    """Complete an execution, or a frame, whose every step is settled."""
    execution_id, plan = UUID(address.execution), pinned.plan_of(address)
    known = situation.read(execution_id, (), frame=address.frame)
    if known is None or known.epoch != address.epoch:
        return None
    if plan.is_top:
        _complete(address, plan, known)
        return None
    last = plan.blocks[-1]
    result = situation.output_after(execution_id, plan, last, known)
    if lifecycle.close_frame(execution_id, address.frame, output=result):
        return left(address, here=here)
    return None


def _complete(address: Address, plan: Plan, known: situation.Situation) -> None:
    execution_id = UUID(address.execution)
    try:
        result = output.render(execution_id, plan, known)
    except TemplateRenderError as error:
        output.refuse(execution_id, address.epoch, error)
    else:
        lifecycle.complete(execution_id, epoch=address.epoch, output=result)
    announce(execution_id)
    if known.awaited:
        _tell_parent(execution_id)
