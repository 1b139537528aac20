"""
The record: executions, their step runs and events, and the workers' leases.

Rows are written by `lifecycle` alone, with guarded statements; these classes give
the tables their shape and reading its queries. Step runs and events carry UUIDs
and identities that grow with time, so that old rows leave in ranges.
"""

from __future__ import annotations

from typing import Self

from django.conf import settings
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
    path = models.CharField(max_length=500)
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
    path = models.CharField(max_length=500, null=True, blank=True)  # noqa: DJ001
    data = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Func(function="clock_timestamp"))

    class Meta:
        ordering = ("execution", "transaction_id", "id")
        indexes = (models.Index(fields=["execution", "id"], name="event_log"),)

    def __str__(self) -> str:
        return f"{self.type} {self.path or ''}".strip()
