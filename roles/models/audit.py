"""Who did what, to what, and when: written once, never changed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One change, or one refusal; `before` and `after` are documents, without secrets."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    action = models.CharField(max_length=80)  # such as role.update
    outcome = models.CharField(max_length=10, default="done")  # or refused
    detail = models.CharField(max_length=1000, blank=True, default="")
    channel = models.CharField(max_length=10)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    user_name = models.CharField(max_length=150, blank=True, default="")
    api_key_id = models.UUIDField(null=True, blank=True)
    execution_id = models.UUIDField(null=True, blank=True)
    step_path = models.CharField(max_length=4000, blank=True, default="")
    role_name = models.CharField(max_length=200, blank=True, default="")
    object_type = models.CharField(max_length=40, blank=True, default="")
    object_id = models.CharField(max_length=300, blank=True, default="")
    object_name = models.CharField(max_length=300, blank=True, default="")
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        constraints = (
            models.CheckConstraint(
                condition=Q(outcome__in=["done", "refused"]), name="audit_outcome"
            ),
        )
        indexes = (
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_of"),
            models.Index(
                fields=["execution_id", "-id"],
                condition=Q(execution_id__isnull=False),
                name="audit_by_execution",
            ),
            models.Index(fields=["user", "-id"], name="audit_by_user"),
            # Times only grow, so this one costs next to nothing.
            BrinIndex(fields=["at"], name="audit_by_time", autosummarize=True),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object_name} ({self.outcome})"
