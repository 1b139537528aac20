"""
Celery's entry points: each turns a message into one call and the canvas's rest.

A step's failure is never raised into Celery: it is recorded, and the task returns,
so that chains go on and joins fire; what follows decides by the record. What is
raised, and carried on by autoretry, is "come back later" and a missing database or
broker.
"""

from __future__ import annotations

from time import monotonic, time
from typing import Any

from celery import Task, shared_task
from celery.worker.request import Request
from kombu.exceptions import OperationalError as BrokerError
from kombu.transport.virtual import QoS

from executions import failpoints, passage, pinned, signatures
from executions.database import UNREACHABLE
from executions.passage import Here
from executions.paths import TOP
from executions.signatures import Address, pool_of_queue
from executions.worker import batch, convoy, crowd
from executions.worker.beginning import ComeBack
from executions.worker.leases import LeaseLost, this_worker
from executions.worker.patience import insist
from executions.worker.walk import Passage, Walk

_INFRASTRUCTURE_DELAY_S = 2.0


class StepRequest(Request):
    """
    A message that gives its slot back even when the broker cannot be told.

    Kombu keeps what it could not acknowledge, and while every slot is taken it does
    not read: a worker that was busy when the broker went would never notice that its
    connection is gone, and would stay deaf after the broker's return.
    """

    def acknowledge(self) -> None:
        super().acknowledge()
        self._give_slot_back()

    def reject(self, requeue: bool = False) -> None:
        super().reject(requeue)
        self._give_slot_back()

    def _give_slot_back(self) -> None:
        if not self.message.acknowledged:
            QoS.ack(self.message.channel.qos, self.message.delivery_tag)


class StepTask(Task):  # type: ignore[type-arg]
    """A lean task: stamped when sent, and retried after its step's own delay."""

    abstract = True
    Request = "executions.tasks:StepRequest"
    ignore_result = True
    max_retries = None
    autoretry_for = (ComeBack, BrokerError, *UNREACHABLE)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Stamp the message with its time: whoever gets it knows what is past."""
        headers = {**(options.pop("headers", None) or {}), "published_at": time()}
        return super().apply_async(*args, headers=headers, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """
        Note that what was published before this message has been delivered.

        A worker that does not reach the database gives it back at once, for another.
        """
        if not this_worker().may_work:
            raise self.retry(exc=LeaseLost(LeaseLost.__doc__))
        published_at = getattr(self.request, "published_at", None)
        if published_at is not None:
            this_worker().note_delivery(self.source_queue, published_at)

    def on_success(
        self, retval: Any, task_id: str, args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Stand between what the task sent and its acknowledgement."""
        failpoints.reach("after_publish", kwargs.get("path"))

    def retry(self, *args: Any, **options: Any) -> Any:
        """Take the delay, and the step that it is about, from the signal."""
        signal = options.get("exc")
        if isinstance(signal, ComeBack):
            options["kwargs"] = {**(self.request.kwargs or {}), "path": signal.path}
            options["countdown"] = signal.delay_s
        elif isinstance(signal, self.autoretry_for):
            options["countdown"] = _INFRASTRUCTURE_DELAY_S
        return super().retry(*args, **options)

    @property
    def source_queue(self) -> str:
        """The queue that the message at hand came from."""
        return str((self.request.delivery_info or {})["routing_key"])

    @property
    def links(self) -> list[dict[str, Any]]:
        """The rest of the message's chain; Celery sends its last after the task."""
        chain: Any = self.request.chain
        return chain or []


@shared_task(bind=True, base=StepTask, name=signatures.RUN_STEP)
def run_step(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    path: str,
    frame: str = TOP,
    **_: Any,
) -> None:
    """Do a step, and those that follow it while the walk goes on in place."""
    address = Address(execution=execution, version=version, epoch=epoch, frame=frame)
    planned = pinned.plan_of(address).by_path[path]
    if planned.step.has_role:
        _walk_from(self, address, path, pool=pool_of_queue(self.source_queue))
    else:
        first = passage.begin(address, planned, here=_served_here())
        _go_on_here(self, first)


def _walk_from(task: StepTask, address: Address, path: str, *, pool: str) -> None:
    """Do a step and those that follow, and let the canvas go on from there."""
    walk = Walk.of(address, path=path, pool=pool)
    try:
        reached = walk.go()
    except ComeBack as signal:
        following = walk.plan.by_path[signal.path].block.index + 1
        _keep_links_from(task, walk, following)
        raise
    _go_on_here(task, _go_on(task, walk, reached))


def _go_on(task: StepTask, walk: Walk, reached: Passage) -> Here | None:
    """Let the chain go on where the walk ended, or send what lies past its end."""
    if reached.block is None:
        task.links.clear()
        return _behind(walk, reached)
    _keep_links_from(task, walk, reached.block)
    if not task.links or task.links[-1]["task"] == signatures.ADVANCE:
        task.links.clear()
        return _behind(walk, reached)
    return None


def _behind(walk: Walk, reached: Passage) -> Here | None:
    """Go on behind a walk; what it did not go on with for want of time is sent."""
    here = _served_here() if monotonic() - walk.started < walk.warm_s else ()
    if reached.left:
        return passage.left(walk.address, here=here)
    if reached.block is None:
        return None
    is_walked = walk.plan.blocks[reached.block].is_walked
    return passage.advance(walk.address, reached.block, here=() if is_walked else here)


def _keep_links_from(task: StepTask, walk: Walk, block: int) -> None:
    """Take from the message's chain the links that the walk has made needless."""
    links = task.links
    while links and _block_of(links[-1], walk) < block:
        links.pop()


def _block_of(link: dict[str, Any], walk: Walk) -> int:
    kwargs = link["kwargs"]
    if "path" in kwargs:
        return walk.plan.by_path[kwargs["path"]].block.index
    return int(kwargs["block"])


@shared_task(bind=True, base=StepTask, name=signatures.RUN_STEPS)
def run_steps(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    paths: list[str],
    frame: str = TOP,
    **_: Any,
) -> None:
    """
    Do members of a parallel group.

    That is one after the other while they are short, or at once where they await.
    Whoever has done the group's last one goes on behind it, without a join's message.
    """
    address = Address(execution=execution, version=version, epoch=epoch, frame=frame)
    if pool_of_queue(self.source_queue) == "io":
        crowd.wait_for_members(address, paths)
    else:
        batch.work_off(address, paths)
    self.request.chord = None  # a part that returns would look at the group once more
    block = passage.block_of(address, paths[0])
    _go_on_here(self, passage.join(address, block, here=_served_here()))


@shared_task(bind=True, base=StepTask, name=signatures.RUN_TOGETHER)
def run_together(
    self: StepTask,
    /,
    *,
    executions: list[str],
    version: str,
    epoch: int,
    path: str,
    **_: Any,
) -> None:
    """Walk with executions of one version, abreast or, where they await, side by side."""
    addresses = [
        Address(execution=one, version=version, epoch=epoch) for one in executions
    ]
    _go_together(self, addresses, path)


@shared_task(bind=True, base=StepTask, name=signatures.RUN_FRAMES)
def run_frames(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    frames: list[str],
    key: str,
    **_: Any,
) -> None:
    """Do the same with frames of one body."""
    top = Address(execution=execution, version=version, epoch=epoch)
    _go_together(self, [top.at(frame) for frame in frames], key)


def _go_together(task: StepTask, addresses: list[Address], key: str) -> None:
    if pool_of_queue(task.source_queue) == "io":
        crowd.wait_together(addresses, key)
    else:
        convoy.walk_together(addresses, key)


@shared_task(bind=True, base=StepTask, name=signatures.BUNDLE)
def bundle(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    paths: list[str],
    frame: str = TOP,
    **_: Any,
) -> None:
    """Send members of a large parallel group, each on its own."""
    address = Address(execution=execution, version=version, epoch=epoch, frame=frame)
    passage.send_members(address, paths)


@shared_task(bind=True, base=StepTask, name=signatures.ADVANCE)
def advance(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    block: int,
    frame: str = TOP,
    **_: Any,
) -> None:
    """Send the next window of a long chain, or a parallel group."""
    address = Address(execution=execution, version=version, epoch=epoch, frame=frame)
    _go_on_here(self, passage.reach(address, block, here=_served_here()))


@shared_task(bind=True, base=StepTask, name=signatures.JOIN)
def join(
    self: StepTask,
    /,
    *,
    execution: str,
    version: str,
    epoch: int,
    block: int,
    frame: str = TOP,
    **_: Any,
) -> None:
    """Go on after a parallel group."""
    address = Address(execution=execution, version=version, epoch=epoch, frame=frame)
    _go_on_here(self, passage.join(address, block, here=_served_here()))


def _served_here() -> list[str]:
    return this_worker().queues


def _go_on_here(task: StepTask, first: Here | None) -> None:
    """Do steps to which no message was sent, because it would have come here."""
    started = monotonic()
    while first is not None:
        task.links.clear()
        walk = Walk.of(first.address, path=first.path, pool=first.pool)
        walk.started = started
        try:
            reached = walk.go()
        except ComeBack as signal:
            # Nothing but a message of the step itself leads back to it: this one is
            # used up.
            _send_again(first.address, signal)
            return
        first = _behind(walk, reached)


def _send_again(address: Address, signal: ComeBack) -> None:
    path, delay_s = signal.path, signal.delay_s
    insist(lambda: passage.send_members(address, [path], delay_s=delay_s))
