"""Questions to people."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from executions.models.executions import Execution


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
