"""
The wire contract: task names, what their messages carry, and the queues.

Messages carry ids and numbers only, and tasks are looked up by the names given here.
Fields are added, never changed: old and new workers meet during a deploy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from celery import signature
from celery.canvas import Signature

from executions.paths import TOP, container_of, frame_of

RUN_STEP = "executions.run_step"
RUN_STEPS = "executions.run_steps"
RUN_TOGETHER = "executions.run_together"
RUN_FRAMES = "executions.run_frames"
BUNDLE = "executions.bundle"
ADVANCE = "executions.advance"
JOIN = "executions.join"

CONTROL_QUEUE = "control"
QUEUES = ("cpu.recovery", "io.recovery", CONTROL_QUEUE, "cpu", "io")
# Beyond the step's own limit, for code that no signal reaches; in seconds.
HARD_LIMIT_GRACE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """
    The execution that a message belongs to, and the canvas that it is part of.

    Below the top, that is the canvas of the frame at the path `frame`.
    """

    execution: str
    version: str
    epoch: int
    frame: str = TOP

    def kwargs(self, **more: Any) -> dict[str, Any]:
        kwargs = {
            "execution": self.execution,
            "version": self.version,
            "epoch": self.epoch,
            **more,
        }
        return {**kwargs, "frame": self.frame} if self.frame else kwargs

    def at(self, frame: str) -> Address:
        """Address a frame of the same execution."""
        return replace(self, frame=frame)

    @property
    def around(self) -> Address:
        """Address the frame in which this one's container stands."""
        return self.at(frame_of(container_of(self.frame)))


def queue_of(pool: str, *, recovery: bool = False) -> str:
    """
    Name the queue of a pool; what is sent again travels on its own, served first.

    What the engine does itself travels on the control queue.
    """
    return f"{pool}.recovery" if recovery and pool != CONTROL_QUEUE else pool


def pool_of_queue(queue: str) -> str:
    """Name the pool that serves a queue."""
    return queue.partition(".")[0]


def run_step(
    address: Address, path: str, *, queue: str, timeout_ms: int
) -> Signature[Any]:
    """Have a worker do the step at `path`."""
    return signature(
        RUN_STEP,
        kwargs=address.kwargs(path=path),
        immutable=True,
        queue=queue,
        time_limit=timeout_ms / 1000 + HARD_LIMIT_GRACE_S,
    )


def run_steps(
    address: Address, paths: Sequence[str], *, queue: str, timeout_ms: int
) -> Signature[Any]:
    """Have a worker do some members of a group; `timeout_ms` is their longest limit."""
    return signature(
        RUN_STEPS,
        kwargs=address.kwargs(paths=list(paths)),
        immutable=True,
        queue=queue,
        time_limit=timeout_ms / 1000 + HARD_LIMIT_GRACE_S,
    )


def run_together(
    addresses: Sequence[Address], path: str, *, queue: str, timeout_ms: int
) -> Signature[Any]:
    """Have a worker walk with executions of one version and epoch, from one step on."""
    first = addresses[0]
    return signature(
        RUN_TOGETHER,
        kwargs={
            "executions": [address.execution for address in addresses],
            "version": first.version,
            "epoch": first.epoch,
            "path": path,
        },
        immutable=True,
        queue=queue,
        time_limit=timeout_ms / 1000 + HARD_LIMIT_GRACE_S,
    )


def run_frames(
    address: Address,
    frames: Sequence[str],
    key: str,
    *,
    queue: str,
    timeout_ms: int,
) -> Signature[Any]:
    """Have a worker walk through frames of one body, from one step on."""
    return signature(
        RUN_FRAMES,
        kwargs=address.at(TOP).kwargs(frames=list(frames), key=key),
        immutable=True,
        queue=queue,
        time_limit=timeout_ms / 1000 + HARD_LIMIT_GRACE_S,
    )


def bundle(address: Address, paths: Sequence[str]) -> Signature[Any]:
    """Have a worker send members of a group, so that who sends the group need not."""
    return signature(
        BUNDLE,
        kwargs=address.kwargs(paths=list(paths)),
        immutable=True,
        queue=CONTROL_QUEUE,
    )


def advance(address: Address, block: int) -> Signature[Any]:
    """Have the canvas go on with a block, once everything before it is settled."""
    return signature(
        ADVANCE, kwargs=address.kwargs(block=block), immutable=True, queue=CONTROL_QUEUE
    )


def join(address: Address, block: int) -> Signature[Any]:
    """Have a parallel group's end noticed; it goes on when all members are settled."""
    return signature(
        JOIN, kwargs=address.kwargs(block=block), immutable=True, queue=CONTROL_QUEUE
    )
