"""
From a plan and the place where to go on to the Celery canvas of what is left.

Pure: the same plan, place and roles give the same canvas, so that starting,
recovering and going on after a wait are one act. A chain's message carries the rest
of the chain and a chord's messages carry the body each; so chains come in windows
that end in `advance`, and a chord's body is one small signature. Members of a large
group travel many to a message; a worker that finds them long sends them singly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from celery import chord
from celery.canvas import Signature

from core_orchestration.definition import Block
from executions import signatures
from executions.plan import Plan, PlannedStep
from executions.signatures import Address

WINDOW = 25
BATCH = 50  # members that travel in one message, at most
COMPANY = 25  # executions that do
SPREAD = 4  # messages that steps make before any of them carries two
MANY = 100  # steps, of which twice as many share a message
BUNDLE = 100  # members that cannot share a message, and are sent on by a worker

T = TypeVar("T")
PoolOf = Callable[[PlannedStep], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """
    How a block is sent.

    `members` limits a parallel group to those of its steps, by path, that are not
    settled yet; `recovery` takes the queues that are served first; `singly` gives
    each member a message of its own, which waits for `delay_s` seconds.
    """

    members: Collection[str] | None = None
    recovery: bool = False
    singly: bool = False
    delay_s: float = 0.0


AT_ONCE = Manner()


def from_block(
    plan: Plan,
    index: int,
    address: Address,
    pool_of: PoolOf,
    manner: Manner = AT_ONCE,
) -> list[Signature[Any]]:
    """Compile the messages with which the canvas goes on with a block."""
    compiler = _Compiler(plan=plan, address=address, pool_of=pool_of, manner=manner)
    block = plan.blocks[index]
    return compiler.group(block) if block.is_group else [compiler.window(block)]


def together(
    plan: Plan, addresses: Sequence[Address], pool_of: PoolOf
) -> list[Signature[Any]]:
    """
    Compile what starts executions of one version, many to a message.

    Empty when there are few of them, or they begin with what does not travel so.
    """
    first = plan.blocks[0]
    step = plan.of_block(first)[0]
    size = min(COMPANY, _shared_by(len(addresses)))
    if first.is_group or size < 2 or not step.is_batchable:
        return []
    queue, timeout_ms = signatures.queue_of(pool_of(step)), step.step.timeout_ms
    return [
        signatures.run_together(some, step.path, queue=queue, timeout_ms=timeout_ms)
        for some in sliced(addresses, size)
    ]


def into_frames(
    address: Address, plans: Sequence[Plan], pool_of: PoolOf, *, under_way: int
) -> list[Signature[Any]]:
    """
    Compile what starts frames of one body, many to a message.

    How many depends on those `under_way`, which are more than what starts now. Empty
    when there are few, or they begin with what does not travel so.
    """
    first = plans[0].steps[0]
    size = min(COMPANY, _shared_by(under_way))
    if first.block.is_group or size < 2 or not first.is_batchable:
        return []
    queue, timeout_ms = signatures.queue_of(pool_of(first)), first.step.timeout_ms
    frames = [plan.frame for plan in plans]
    return [
        signatures.run_frames(
            address, some, first.step.key, queue=queue, timeout_ms=timeout_ms
        )
        for some in sliced(frames, size)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiler:
    plan: Plan
    address: Address
    pool_of: PoolOf
    manner: Manner

    def group(self, block: Block) -> list[Signature[Any]]:
        """Make a chord of messages, unless each of them sees to the join itself."""
        body = signatures.join(self.address, block.index)
        members = self.manner.members
        steps = self.plan.of_block(block)
        chosen = [step for step in steps if members is None or step.path in members]
        header = list(self._members(chosen))
        if not header:
            return [body]
        if all(message.task == signatures.RUN_STEPS for message in header):
            return header
        return [chord(header, body)]

    def window(self, block: Block) -> Signature[Any]:
        links: list[Signature[Any]] = []
        at: Block | None = block
        while at is not None and at.is_walked and len(links) < WINDOW:
            links.append(self._message(self.plan.of_block(at)[0]))
            at = self.plan.next_block(at)
        if not links:  # a step that leads on by itself
            return self._delay(self._message(self.plan.of_block(block)[0]))
        self._delay(links[0])
        if at is not None:
            links.append(signatures.advance(self.address, at.index))
        return _chained(links)

    def _members(self, steps: list[PlannedStep]) -> Iterator[Signature[Any]]:
        """Put neighbours that are served by one pool into one message."""
        size = min(BATCH, _shared_by(len(steps)))
        if size < 2 or self.manner.singly or self.manner.recovery:
            yield from (self._delay(self._message(step)) for step in steps)
            return
        for shared, run in groupby(steps, key=self._shared_pool):
            neighbours = list(run)
            if shared:
                yield from map(self._batch, sliced(neighbours, size))
            elif len(neighbours) > BUNDLE:
                yield from map(self._bundle, sliced(neighbours, BUNDLE))
            else:
                yield from map(self._message, neighbours)

    def _batch(self, steps: Sequence[PlannedStep]) -> Signature[Any]:
        return signatures.run_steps(
            self.address,
            [step.path for step in steps],
            queue=signatures.queue_of(self.pool_of(steps[0])),
            timeout_ms=max(step.step.timeout_ms for step in steps),
        )

    def _bundle(self, steps: Sequence[PlannedStep]) -> Signature[Any]:
        return signatures.bundle(self.address, [step.path for step in steps])

    def _shared_pool(self, planned: PlannedStep) -> str | None:
        """Name the pool that serves a step, if it may share a message."""
        return self.pool_of(planned) if planned.is_batchable else None

    def _message(self, planned: PlannedStep) -> Signature[Any]:
        recovery = self.manner.recovery
        return signatures.run_step(
            self.address,
            planned.path,
            queue=signatures.queue_of(self.pool_of(planned), recovery=recovery),
            timeout_ms=planned.step.timeout_ms,
        )

    def _delay(self, message: Signature[Any]) -> Signature[Any]:
        delay_s = self.manner.delay_s
        return message.set(countdown=delay_s) if delay_s else message


def _chained(links: list[Signature[Any]]) -> Signature[Any]:
    """
    Make a chain as its first message carries it: the rest, with the next one last.

    Celery's own `chain` comes to the same message; it copies and names every link
    first, which took a third of what sending takes.
    """
    first, *rest = links
    if rest:
        first.options["chain"] = rest[::-1]
    return first


def _shared_by(count: int) -> int:
    """Say how many steps may share a message and still leave some to other workers."""
    share = count // SPREAD
    return share if count < MANY else 2 * share


def sliced(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
