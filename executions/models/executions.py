"""Executions: one run of an orchestration each."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from core_orchestration.models import Orchestration, OrchestrationVersion
from executions.states import (
    ACTIVE_EXECUTION,
    TERMINAL_EXECUTION,
    ExecutionStatus,
    values,
)
from roles.models import OwnedQuerySet


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
    # The API key that it was asked for with, and that its children spend for.
    api_key_id = models.UUIDField(null=True, blank=True)
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
    # Of a fork or a rerun: {"kind", "execution_id", "from_step"}; of one that an agent
    # started: {"kind": "agent", "execution_id", "step_path", "role_name"}.
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
