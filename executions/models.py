"""
The record: executions, their step runs and events, and the workers' leases.

Rows are written by `lifecycle` alone, with guarded statements; these classes give
the tables their shape and reading its queries. Step runs and events carry UUIDs
and identities that grow with time, so that old rows leave in ranges.
"""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from core_orchestration.models import Orchestration, OrchestrationVersion
from executions.states import (
    ACTIVE_EXECUTION,
    TERMINAL_EXECUTION,
    ExecutionStatus,
    StepStatus,
    values,
)
from roles.models import OwnedQuerySet


class TransactionIdField(models.BigIntegerField):  # type: ignore[type-arg]
    """PostgreSQL's 64-bit transaction id (`xid8`), as an integer."""

    def db_type(self, connection: object) -> str:
        return "xid8"

    def from_db_value(self, value: object, *_: object) -> int | None:
        return None if value is None else int(str(value))


class ExecutionQuerySet(OwnedQuerySet):
    def active(self) -> Self:
        return self.filter(status__in=values(ACTIVE_EXECUTION))


class Execution(models.Model):
    """One run of an orchestration's version."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    orchestration = models.ForeignKey(
        Orchestration,
        on_delete=models.PROTECT,
        related_name="executions",
        db_index=False,
    )
    version = models.ForeignKey(
        OrchestrationVersion,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    status = models.CharField(
        max_length=16,
        default=ExecutionStatus.PENDING.value,
    )
    # Grows at every dispatch; a message of an older canvas is dead on arrival.
    epoch = models.PositiveIntegerField(default=1)
    # The block that the canvas goes on with; moved by compare-and-set.
    cursor = models.PositiveIntegerField(default=0)
    # From each role that the steps name to the snapshot that this run pinned.
    role_pins = models.JSONField(default=dict)
    input = models.JSONField(default=dict)
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    parent_execution = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="children",
        db_index=False,
    )
    # The path of the parent's step that started it, and whether that waits to hear of
    # its end: True until it has.
    parent_path = models.CharField(max_length=4000, null=True, blank=True)  # noqa: DJ001
    awaited = models.BooleanField(null=True, blank=True)
    # Whether something is to be done after a failure; and while that is done, with what
    # the execution is to end: {"status", "path", ...}, `path` once it has begun.
    unwinds = models.BooleanField(default=False, db_default=False)
    unwinding = models.JSONField(null=True, blank=True)
    # How many executions stand above it.
    depth = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(db_default=Now())
    # When the reconciler is to look at this execution: a deadline or a timer.
    wake_at = models.DateTimeField(null=True, blank=True)
    resends = models.PositiveSmallIntegerField(default=0)
    paused_at = models.DateTimeField(null=True, blank=True)
    # Who asked for the end, why and when, while running steps are let go.
    cancel_request = models.JSONField(null=True, blank=True)
    # Of a fork or a rerun: {"kind", "execution_id", "from_step"}.
    origin = models.JSONField(null=True, blank=True)

    # True on what `launch` returns for a request that was made before.
    is_replay = False

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="execution_idempotency_key",
            ),
            models.CheckConstraint(
                condition=Q(status__in=values(ExecutionStatus)), name="execution_status"
            ),
            models.CheckConstraint(
                condition=Q(
                    finished_at__isnull=False, status__in=values(TERMINAL_EXECUTION)
                )
                | Q(finished_at=None, status__in=values(ACTIVE_EXECUTION)),
                name="execution_finished_iff_terminal",
            ),
        )
        indexes = (
            # Lists by status; by orchestration; of an owner; of an owner by orchestration.
            # `listing` asks for the newest of each status, so that one index serves
            # lists with a status and without.
            models.Index(fields=["status", "-id"], name="execution_by_status"),
            models.Index(
                fields=["orchestration", "status", "-id"],
                name="execution_of_orchestration",
            ),
            models.Index(
                fields=["created_by", "status", "-id"], name="execution_of_owner"
            ),
            models.Index(
                fields=["created_by", "orchestration", "status", "-id"],
                name="execution_of_both",
            ),
            # The reconciler's two sweeps.
            models.Index(
                fields=["dispatched_at"],
                condition=Q(status__in=["pending", "running"]),
                name="execution_maybe_lost",
            ),
            models.Index(
                fields=["wake_at"],
                condition=Q(wake_at__isnull=False),
                name="execution_due",
            ),
            models.Index(
                fields=["parent_execution"],
                condition=Q(parent_execution__isnull=False),
                name="execution_by_parent",
            ),
            # Children whose parents wait for them, or have still to hear of their end.
            models.Index(
                fields=["finished_at"],
                condition=Q(awaited=True),
                name="execution_awaited",
            ),
        )

    def __str__(self) -> str:
        return str(self.pk)


class Worker(models.Model):
    """A worker process and its lease: what it runs is its own until `lease_until`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    # How many steps it can run at a time, and how many it did at its last heartbeat.
    slots = models.PositiveIntegerField(default=1)
    busy = models.PositiveIntegerField(default=0)
    # Per queue, when the newest message that it got was published (POSIX seconds).
    delivered = models.JSONField(default=dict)
    # Per queue, when it last took a message (POSIX seconds).
    taken = models.JSONField(default=dict)
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField()

    class Meta:
        ordering = ("-started_at", "id")
        indexes = (models.Index(fields=["lease_until"], name="worker_by_lease"),)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class StepRun(models.Model):
    """
    One step of one execution: its attempts, outcome and output.

    Frames have rows here, too: each run of a body is one, with a `cursor`. Its input is
    what the frame gives to its steps (the item, the turn), its output what it came to.

    The id is a function of the execution's id and the path (see `identity`): two
    claims of one step meet in the primary key, and the idempotency key that effects
    carry survives even a lost row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    # A claim makes the run from its execution's row, which it holds: a constraint would
    # lock and read that row once more for every step.
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="step_runs",
        db_index=False,
        db_constraint=False,
    )
    ordinal = models.PositiveIntegerField()
    path = models.CharField(max_length=4000)
    key = models.CharField(max_length=64)
    role_name = models.CharField(max_length=200, default="")
    status = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    # Attempts that do not count: those before somebody last had the step run again, and
    # those that were cut short because a pause moved a deadline.
    spent = models.PositiveIntegerField(db_default=0)
    # Grows at every claim; what an older attempt reports affects no row.
    fence = models.PositiveIntegerField(default=0)
    # Who has the step, or holds the message that leads back to it or on from it; without
    # one, no message does, and whoever looks at the record sends it.
    worker = models.UUIDField(null=True, blank=True)
    input = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    exports = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    usage = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    attempt_deadline = models.DateTimeField(null=True, blank=True)
    # The end of all attempts together.
    deadline_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Of a step that waits for an event: its name.
    awaits = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    # Of a step that the engine does itself: what it keeps in mind until the end.
    state = models.JSONField(null=True, blank=True)
    # Of a frame: the block that its canvas goes on with, as of an execution.
    cursor = models.PositiveIntegerField(null=True, blank=True)
    # Its place among the frames of its container.
    number = models.PositiveIntegerField(null=True, blank=True)
    # Once it has ended, whether its container has taken note of that.
    heard = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ("execution", "ordinal", "path")
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=values(StepStatus)), name="step_run_status"
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(worker__isnull=False),
                name="step_run_running_has_worker",
            ),
        )
        indexes = (
            # The log of an execution, and the last unfinished member of a group.
            models.Index(fields=["execution", "ordinal"], name="step_run_log"),
            # What containers have still to hear of.
            models.Index(
                fields=["execution"],
                condition=Q(heard=False),
                name="step_run_unheard",
            ),
            # Who waits for an event that has come in.
            models.Index(
                fields=["awaits"],
                condition=Q(awaits__isnull=False, status="waiting"),
                name="step_run_awaits",
            ),
        )

    def __str__(self) -> str:
        return self.path


class Signal(models.Model):
    """
    An event from outside, kept for those who will wait for it.

    One for everybody's executions, or sent to one; each execution takes it once.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    payload = models.JSONField(null=True, blank=True)
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="signals",
        db_index=False,
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    created_at = models.DateTimeField(db_default=Now())
    # When nobody that waits by now is left to be told.
    handed_out_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="signal_idempotency_key",
            ),
        )
        indexes = (
            # What a step that begins to wait finds.
            models.Index(fields=["name", "created_at"], name="signal_by_name"),
            models.Index(
                fields=["execution"],
                condition=Q(execution__isnull=False),
                name="signal_of_execution",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(handed_out_at=None),
                name="signal_to_hand_out",
            ),
        )

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """That an execution has taken a signal: no later wait of it gets it again."""

    signal = models.ForeignKey(
        Signal, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    path = models.CharField(max_length=4000)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["execution", "signal"], name="delivery_once"
            ),
        )
        indexes = (models.Index(fields=["signal"], name="delivery_of_signal"),)

    def __str__(self) -> str:
        return self.path


class Approval(models.Model):
    """
    A question to people, asked by a step that waits; `decision` is null while open.

    `users` and `groups` (by name) and `permission` (`app.codename`) say who may answer;
    without any it is whoever may steer the execution.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="approvals"
    )
    step_run = models.UUIDField()
    path = models.CharField(max_length=4000)
    prompt = models.TextField(blank=True)
    form = models.JSONField(null=True, blank=True)
    users = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    groups = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    permission = models.CharField(max_length=255, blank=True)
    asked_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    # How the answer came: the API, the admin, a link, or the clock.
    channel = models.CharField(max_length=16, blank=True)
    answer = models.JSONField(null=True, blank=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["step_run"],
                condition=Q(decision=None),
                name="approval_open_once",
            ),
            models.CheckConstraint(
                condition=Q(decision=None, decided_at=None)
                | Q(decision__isnull=False, decided_at__isnull=False),
                name="approval_decided_at",
            ),
        )

    def __str__(self) -> str:
        return self.path


class Event(models.Model):
    """Something that happened to an execution; never changed, read by viewers."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,
        db_constraint=False,
    )
    transaction_id = TransactionIdField(
        db_default=Func(function="pg_current_xact_id"), editable=False
    )
    type = models.CharField(max_length=40)
    path = models.CharField(max_length=4000, null=True, blank=True)  # noqa: DJ001
    data = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Func(function="clock_timestamp"))

    class Meta:
        ordering = ("execution", "transaction_id", "id")
        indexes = (models.Index(fields=["execution", "id"], name="event_log"),)

    def __str__(self) -> str:
        return f"{self.type} {self.path or ''}".strip()
