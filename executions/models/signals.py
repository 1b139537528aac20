"""Events from outside, and who took them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from executions.models.executions import Execution


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
