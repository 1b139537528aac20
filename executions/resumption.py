"""
Send what is left of an execution: on the canvas under way, or as a new one.

Both compile the canvas from the record alone. The one keeps the epoch, so that
messages still under way keep their meaning; the other makes them all stale.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, LiteralString
from uuid import UUID

from core_orchestration.definition import Block
from executions import dispatch, failpoints, lifecycle, passage, pinned, situation
from executions.canvas import Manner
from executions.database import fetch
from executions.identity import step_run_id
from executions.lifecycle import Posted
from executions.paths import TOP, frame_of
from executions.plan import Plan
from executions.signatures import Address
from executions.situation import Situation
from executions.states import StepStatus

log = logging.getLogger(__name__)


# For how long a timer that fires is put off, in case that nobody sees to it.
PUT_OFF = timedelta(seconds=15)

# Which steps to send of the block at hand: all that may begin now, or those to which no
# message leads.
Which = Literal["all", "left"]


def go_on(execution_id: UUID, *, which: Which = "left") -> None:
    """
    Send the steps that are due, of the first block that is not settled.

    So in every frame that is open, and at the top.
    """
    address = address_of(execution_id)
    known = situation.read(execution_id, ())
    if known is not None and known.unwinding:
        passage.unwind(address)
        passage.finish_unwinding(address)
    look(execution_id)
    for path in lifecycle.due_waits(execution_id):
        _wake(address, path)
    due = _due(execution_id, which)
    everywhere = _everywhere(address)
    going_on = [_goes_on(at, due, which) for at in everywhere]
    if everywhere and not any(going_on):
        _rest(everywhere[0])


def look(execution_id: UUID) -> None:
    """Let the steps that wait for events see whether those are there."""
    for path in lifecycle.listening(execution_id):
        look_at(execution_id, path)


def look_at(execution_id: UUID, path: str, *, news: Posted | None = None) -> bool:
    """
    Let one of them do so, unless the `news` of an event are nothing to it.

    It is asked again if the execution was sent again meanwhile.
    """
    address, before = address_of(execution_id), None
    while address != before:
        around = address.at(frame_of(path))
        planned = pinned.plan_of(around).by_path[path]
        if passage.look(around, planned, news=news):
            rest(execution_id)
            return True
        address, before = address_of(execution_id), address
    return False


def _wake(address: Address, path: str) -> None:
    """Let a step that has waited long enough see what that means."""
    around = address.at(frame_of(path))
    passage.wake(around, pinned.plan_of(around).by_path[path])


def _goes_on(at: At, due: Set[str], which: Which) -> bool:
    """Send what is due; False if nothing of a frame was to begin, nor is yet."""
    if at.block is None:
        passage.end(at.address)
        return True
    members = (at.members & due) | _left_unbegun(at, which)
    if members:
        passage.move_to(at.address, at.block.index)
        _send(at, members, recovery=which != "all")
    _hear(at)
    return bool(members or at.unbegun)


def rest(execution_id: UUID) -> None:
    """Note that an execution waits for something outside, if no step is to begin."""
    address = address_of(execution_id)
    everywhere = _everywhere(address)
    if everywhere and not any(at.block is None or at.unbegun for at in everywhere):
        _rest(everywhere[0])


def _rest(top: At) -> None:
    if top.block is not None:
        lifecycle.rest(top.execution_id, among=top.block.ordinals)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where a frame is, or the top: its first block that is not settled."""

    address: Address
    plan: Plan
    known: Situation

    @property
    def execution_id(self) -> UUID:
        return UUID(self.address.execution)

    @property
    def block(self) -> Block | None:
        return self.plan.first_open(self.known.settled, start=self.known.cursor)

    @property
    def members(self) -> set[str]:
        """The steps of the block that are not settled, by path."""
        steps = self.plan.of_block(self.block) if self.block else ()
        return {step.path for step in steps} - self.known.settled

    @property
    def unbegun(self) -> set[str]:
        """Those of them that have no row."""
        return self.members - self.known.rows.keys()

    def moved_to(self, epoch: int) -> At:
        return replace(self, address=replace(self.address, epoch=epoch))


def _at(address: Address) -> At | None:
    plan = pinned.plan_of(address)
    known = situation.read_all(UUID(address.execution), plan)
    return None if known is None else At(address=address, plan=plan, known=known)


def _everywhere(address: Address) -> list[At]:
    """Read where an execution goes on: at the top, and in its open frames."""
    frames = (TOP, *open_frames(UUID(address.execution)))
    read = (_at(address.at(frame)) for frame in frames)
    return [at for at in read if at is not None and at.known.goes_on]


def _send(at: At, members: Set[str], *, recovery: bool) -> None:
    """Send steps that workers do, and begin those that the engine does itself."""
    if at.block is None:
        return
    planned = [at.plan.by_path[path] for path in members]
    for_workers = {step.path for step in planned if step.step.has_role}
    if for_workers:
        manner = Manner(members=for_workers, recovery=recovery)
        pins, block = at.known.role_pins, at.block.index
        dispatch.send(at.plan, block, at.address, pins=pins, manner=manner)
    for step in planned:
        if not step.step.has_role:
            passage.begin(at.address, step)


def _hear(at: At) -> None:
    """Have steps that wait for their frames hear of what has ended."""
    for path in at.members:
        row = at.known.rows.get(path)
        planned = at.plan.by_path[path]
        if row and row.status == StepStatus.WAITING and planned.compiled.bodies:
            passage.hear(at.address, planned)


_OPEN_FRAMES: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.cursor IS NOT NULL
  AND s.status = 'waiting'
ORDER BY length(s.path), s.number
"""


def open_frames(execution_id: UUID) -> list[str]:
    """List the frames of an execution in which steps may begin, from the top inwards."""
    return [row[0] for row in fetch(_OPEN_FRAMES, {"execution": execution_id})]


_DUE_STEPS: LiteralString = """
SELECT s.path FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND s.status IN ('pending', 'retrying')
  AND s.cursor IS NULL
  AND coalesce(s.retry_at, '-infinity') <= clock_timestamp()
  AND (%(all)s OR s.worker IS NULL)
"""
# Whoever settles the last step of a block leads on from it, if that is its worker.
_LEFT: LiteralString = """
SELECT s.worker IS NULL AND s.status <> 'skipped' FROM executions_steprun s
WHERE s.id = ANY(%(ids)s)
ORDER BY s.finished_at DESC NULLS FIRST LIMIT 1
"""


def _due(execution_id: UUID, which: Which) -> Set[str]:
    params = {"execution": execution_id, "all": which == "all"}
    return {row[0] for row in fetch(_DUE_STEPS, params)}


def _left_unbegun(at: At, which: Which) -> Set[str]:
    """List members that have no row and no message, or all without a row."""
    if which == "all" or (at.unbegun == at.members and _was_left(at)):
        return at.unbegun
    return set()


def _was_left(at: At) -> bool:
    """Tell whether no message leads to a block: it was never sent, nor led to."""
    if at.block is None or at.known.cursor >= at.block.index:
        return False
    before = at.plan.of_block(at.plan.blocks[at.block.index - 1])
    ids = [step_run_id(at.execution_id, step.path) for step in before]
    return any(left for (left,) in fetch(_LEFT, {"ids": ids}))


def redispatch(execution_id: UUID) -> bool:
    """
    Compile the canvas of what is left and send it under a new epoch.

    Every message sent before is dead on arrival. False when there is nothing to
    send: steps wait for their timers, or somebody else moved the execution.
    """
    if situation.read(execution_id, ()) is None:
        return False
    look(execution_id)
    top = _at(address_of(execution_id))
    if top is None:
        return False
    if top.known.unwinding:
        passage.unwind(top.address)
        passage.finish_unwinding(top.address)
    elif top.block is None:
        passage.end(top.address)
        return True
    inside = (_at(top.address.at(frame)) for frame in open_frames(execution_id))
    everywhere = [at for at in (top, *inside) if at is not None and at.known.goes_on]
    waiting = _not_due(execution_id)
    if not any(_is_left(at, waiting) for at in everywhere):
        lifecycle.leave(execution_id, epoch=top.known.epoch)
        _rest(top)
        return False
    goes_on = top.block is not None and not top.known.unwinding
    block = top.block.index if goes_on and top.block else top.known.cursor
    epoch = lifecycle.next_epoch(execution_id, epoch=top.known.epoch, block=block)
    if epoch is None:
        return False
    log.warning("Execution %s is sent again.", execution_id)
    failpoints.reach("in_resend")
    for at in everywhere:
        _send_again(at.moved_to(epoch), waiting)
    return True


def _is_left(at: At, waiting: Set[str]) -> bool:
    return at.block is None or bool(at.members - waiting)


def _send_again(at: At, waiting: Set[str]) -> None:
    if at.block is None:
        passage.end(at.address)
        return
    if members := at.members - waiting:
        passage.move_to(at.address, at.block.index)
        _send(at, members, recovery=True)
    _hear(at)


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


def unsettled_block(plan: Plan, known: Situation) -> int | None:
    """Return the first block with a step that is not settled, None if all are."""
    block = plan.first_open(known.settled, start=known.cursor)
    return None if block is None else block.index


# Who set the timer anew meanwhile (it is not at `seen` any more) is not overruled.
_SET_TIMER: LiteralString = """
UPDATE executions_execution x
SET wake_at = least(x.deadline_at, later.retry_at, %(queue_at)s::timestamptz)
FROM (SELECT min(s.retry_at) AS retry_at FROM executions_steprun s
      WHERE s.execution_id = %(execution)s AND (s.status = 'waiting'
        OR s.status = 'retrying' AND s.retry_at > coalesce(
          %(seen)s::timestamptz - %(put_off)s::interval, clock_timestamp()))) later
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
JOIN executions_execution x ON x.id = s.execution_id
WHERE s.execution_id = %(execution)s AND (s.status = 'waiting'
  OR s.status = 'retrying' AND s.retry_at > x.dispatched_at)
"""


def set_timer(
    execution_id: UUID, *, seen: datetime | None, queue_at: datetime | None = None
) -> None:
    """
    Have the reconciler look at an execution when its next timer is due.

    That may be past: one that came to be due while others were seen to.
    """
    params = {
        "execution": execution_id,
        "seen": seen,
        "put_off": PUT_OFF,
        "queue_at": queue_at,
    }
    fetch(_SET_TIMER, params)
