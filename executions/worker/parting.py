"""Where an execution parts from the others: at its walk's end, or sent on its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from executions import dispatch, lifecycle, passage
from executions.announce import announce
from executions.database import UNREACHABLE
from executions.paths import container_of
from executions.worker.abreast import Traveller, take_together
from executions.worker.beginning import ComeBack
from executions.worker.patience import insist, insist_and_tell
from executions.worker.transitions import (
    Settle,
    SettleAndClaim,
    SettleAndClose,
    SettleAndComplete,
    Transition,
)

log = logging.getLogger(__name__)


def come_on(traveller: Traveller) -> Transition | None:
    """
    Walk until something is asked for; None when the walk is over.

    Raises ComeBack when the step at hand is to be tried again later.
    """
    try:
        return traveller.come_on()
    except UNREACHABLE as error:
        log.warning("PostgreSQL cannot be reached: %s", error)
        raise ComeBack(traveller.walk.at.path, 1.0) from error


def send_again(traveller: Traveller, again: ComeBack) -> None:
    """Send a step that is to be tried again, in a message that waits."""
    path, delay_s, address = again.path, again.delay_s, traveller.walk.address
    insist(lambda: passage.send_members(address, [path], delay_s=delay_s))


def go_on_behind(traveller: Traveller) -> None:
    """Let the canvas go on where a walk has ended."""
    address, arrived = traveller.walk.address, traveller.arrived
    if arrived is not None and arrived.block is not None:
        block = arrived.block
        insist(lambda: passage.advance(address, block))
    if arrived is not None and arrived.left:
        insist(lambda: passage.left(address))
    announce(traveller.walk.execution_id)  # others may still walk for long


def hand_over(waiting: Sequence[Traveller]) -> None:
    """Record what is done, and send what waits for its turn on its own."""
    _record(waiting)
    for each in _put_back(waiting):
        _send_from(each, each.claim.run.path)
    for each in waiting:
        send_on(each)
        announce(each.walk.execution_id)
    leave(waiting)


def still_on_their_way(travellers: Sequence[Traveller]) -> list[Traveller]:
    """Leave out those whose next steps were cut, when a failure ended their frames."""
    unbegun = [each.unbegun for each in travellers if each.unbegun]
    runs = [claim.run for claim in unbegun]
    held = insist(lambda: lifecycle.claims_of(runs)) if runs else []
    kept = {claim.run.id for claim in held}
    return [
        each
        for each in travellers
        if each.unbegun is None or each.unbegun.run.id in kept
    ]


def leave(travellers: Sequence[Traveller]) -> None:
    """Have those hear who wait for what has ended, each once for all."""
    left = [each.walk.address for each in travellers if _has_left(each)]
    by_container = {
        (address.execution, address.frame and container_of(address.frame)): address
        for address in left
    }
    for address in by_container.values():
        insist(partial(passage.left, address))


def _has_left(traveller: Traveller) -> bool:
    """Tell whether a traveller's frame has ended, or an execution that is awaited."""
    if traveller.arrived is not None:
        return traveller.arrived.left
    answer, last = traveller.answer, traveller.last
    if answer is None or not answer.recorded:
        return False
    is_awaited = traveller.known.awaited and isinstance(last, SettleAndComplete)
    return is_awaited or isinstance(last, SettleAndClose)


def _record(waiting: Sequence[Traveller]) -> None:
    """Record ends, and begin nothing: others are to go on."""
    for each in waiting:
        if isinstance(each.asks, SettleAndClaim):
            each.asks = Settle(claim=each.asks.claim, outcome=each.asks.outcome)
    take_together([each for each in waiting if each.asks])


def _put_back(waiting: Sequence[Traveller]) -> list[Traveller]:
    """Give back the claims of those whose turn has not come, and say whose."""
    unbegun = [each for each in waiting if each.unbegun]
    if not unbegun:
        return []
    kept = [each.claim for each in unbegun]
    back, repeated = insist_and_tell(lambda: lifecycle.put_back(kept))
    return [each for each in unbegun if repeated or each.claim.run.id in back]


def _send_from(traveller: Traveller, path: str) -> None:
    walk = traveller.walk
    block = walk.plan.by_path[path].block.index
    pins = traveller.known.role_pins
    dispatch.send(walk.plan, block, walk.address, pins=pins)


def send_on(traveller: Traveller) -> None:
    """
    Have an execution go on behind the step that it has ended.

    A fault in one keeps nobody else from being sent.
    """
    try:
        _send_on(traveller)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("Execution %s is stuck.", traveller.walk.execution_id)


def _send_on(traveller: Traveller) -> None:
    if traveller.error is not None:  # its walk says what becomes of the step
        while asked := traveller.come_on():
            traveller.take_alone(asked)
        return
    last, answer = traveller.last, traveller.answer
    if answer is None or answer.next or not answer.recorded:
        return
    if not isinstance(last, Settle | SettleAndClaim):
        return
    walk = traveller.walk
    block = walk.plan.by_path[last.claim.run.path].block
    following = walk.plan.next_block(block)
    if block.is_group:
        return  # whoever has done the last of them goes on behind it
    if following is None:  # its output was found not to resolve
        insist(lambda: passage.end(walk.address))
    else:
        insist(lambda: passage.advance(walk.address, following.index))
