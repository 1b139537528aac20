"""What the decision is made of, and the answer that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from executions.states import TERMINAL_EXECUTION, ExecutionStatus, StepStatus


class Kind(StrEnum):
    """What is waited for: first what needs a person most, or lasts longest."""

    NEEDS_ATTENTION = "needs_attention"
    APPROVAL = "approval"
    BUDGET = "budget"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    QUEUE_WITHOUT_WORKER = "queue_without_worker"
    LOST_WORKER = "lost_worker"
    RECONCILER = "reconciler"
    PROVIDER = "provider"
    WAIT = "wait"
    RETRY_TIMER = "retry_timer"
    QUEUE = "queue"
    WORK = "work"

    @property
    def rank(self) -> int:
        return list(Kind).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingOn:
    """The answer; `help` is what somebody can do, None where nobody needs to."""

    kind: Kind
    step_key: str | None
    since: datetime | None
    expected: datetime | None
    detail: str
    help: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The live workers of a queue together, as of their last heartbeats."""

    workers: int
    slots: int
    busy: int

    @property
    def is_full(self) -> bool:
        return self.busy >= self.slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A worker that claimed a step, alive or not."""

    host: str
    pid: int
    lease_until: datetime

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Who is at work at the moment `now`, by the database's clock."""

    now: datetime
    queues: Mapping[str, Served] = field(default_factory=dict)
    owners: Mapping[UUID, Owner] = field(default_factory=dict)
    reconciler: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFacts:
    """What of an execution concerns all of its steps."""

    status: ExecutionStatus
    paused_at: datetime | None = None
    cancel_request: Mapping[str, Any] | None = None
    wake_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL_EXECUTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that waits for people; if nobody is named, for those who steer."""

    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    permissions: Sequence[str] = ()
    steering: bool = False
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """
    A step that is not settled; without a status its turn has come, but no row yet.

    `key` is None where all steps are settled and only the end is to be recorded.
    `queues` are those that its message passes, empty if they cannot be told; `asked`
    is what it waits for an answer to, and `event` the name of one that it waits for. A
    step that is `parked` names what for, and `detail` says it in words.
    """

    key: str | None
    status: StepStatus | None = None
    since: datetime | None = None
    queues: tuple[str, ...] = ()
    attempt: int = 0
    worker: UUID | None = None
    attempt_deadline: datetime | None = None
    retry_at: datetime | None = None
    error: str | None = None
    asked: Asked | None = None
    event: str | None = None
    parked: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        return "the execution's end" if self.key is None else f"step {self.key!r}"
