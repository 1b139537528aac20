"""
What is to be done: orchestrations, steps as people edit them, published versions.

Executions run versions, which never change, and never read the other rows.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q, Value
from django.utils import timezone
from uuid_utils.compat import uuid7

from roles.models import Owned, OwnedQuerySet, Role


class OrchestrationQuerySet(OwnedQuerySet):
    def current(self) -> OrchestrationQuerySet:
        """Leave out what was archived."""
        return self.filter(archived_at=None)


class Orchestration(Owned):
    """A named workflow; `published` is the version that new executions run."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    is_active = models.BooleanField(default=True)
    input_schema = models.JSONField(null=True, blank=True)
    timeout_ms = models.PositiveBigIntegerField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    limits = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), blank=True
    )
    # Whether MCP offers it as a tool of its own.
    expose_as_tool = models.BooleanField(default=False, db_default=False)
    # Of one that an agent made: {"execution_id", "step_path", "role_name"}.
    provenance = models.JSONField(null=True, blank=True, editable=False)
    published = models.ForeignKey(
        "OrchestrationVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = OrchestrationQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(archived_at=None),
                name="orchestration_name_unique_unless_archived",
                violation_error_message="An orchestration of this name exists.",
            ),
        )
        indexes = (GinIndex(fields=["tags"], name="orchestration_tags"),)

    def __str__(self) -> str:
        return self.name


class OrchestrationStep(models.Model):
    """A step as people edit it; executions never read these rows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    orchestration = models.ForeignKey(
        Orchestration, on_delete=models.CASCADE, related_name="step_rows"
    )
    parent = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="body",
    )
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    order = models.IntegerField(default=0)
    step_type = models.CharField(max_length=40, default="sequential")
    role = models.ForeignKey(
        Role, on_delete=models.PROTECT, null=True, blank=True, related_name="steps"
    )
    role_name = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    parallel_group = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    condition = models.JSONField(null=True, blank=True)
    input_mapping = models.JSONField(null=True, blank=True)
    output_mapping = models.JSONField(null=True, blank=True)
    max_retries = models.PositiveIntegerField(default=0)
    retry_delay_ms = models.PositiveBigIntegerField(default=1000)
    retry_backoff = models.FloatField(default=1.0)
    retry_max_delay_ms = models.PositiveBigIntegerField(default=600_000)
    retry_jitter = models.BooleanField(default=False)
    timeout_ms = models.PositiveBigIntegerField(default=300_000)
    total_timeout_ms = models.PositiveBigIntegerField(null=True, blank=True)
    queue_timeout_ms = models.PositiveBigIntegerField(null=True, blank=True)
    at_most_once = models.BooleanField(default=False, db_default=False)
    on_error = models.CharField(
        max_length=10,
        default="fail",
        choices=[("fail", "fail"), ("continue", "continue")],
    )
    branch = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    milestone = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    compensate = models.JSONField(null=True, blank=True)
    config = models.JSONField(default=dict, blank=True)
    # Of the steps that stand in no body: whether they are those of `on_failure`.
    on_failure = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ("order", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["orchestration", "key"],
                name="step_key_unique_in_orchestration",
            ),
            models.CheckConstraint(
                condition=Q(on_error__in=["fail", "continue"]), name="step_on_error"
            ),
        )
        indexes = (
            models.Index(
                fields=["role_name"],
                condition=Q(role_name__isnull=False),
                name="step_by_role_name",
            ),
        )

    def __str__(self) -> str:
        return self.key


class OrchestrationVersion(models.Model):
    """An orchestration as it was published: an immutable snapshot."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    orchestration = models.ForeignKey(
        Orchestration, on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    digest = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("orchestration", "-number")
        constraints = (
            models.UniqueConstraint(
                fields=["orchestration", "number"], name="version_number_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.orchestration} v{self.number}"
