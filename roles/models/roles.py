"""Who works (roles), and as whom they worked (snapshots)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from roles.models.ownership import Owned, OwnedQuerySet
from roles.runners import RoleSpec


class Role(Owned):
    """Who does a step: an agent, an HTTP call or a function."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True, default="")
    kind = models.CharField(max_length=40)
    base_prompt = models.TextField(blank=True, default="")
    config = models.JSONField(default=dict, blank=True)
    tools = models.JSONField(default=list, blank=True)
    needs_tools = models.BooleanField(default=False)
    model_constraints = models.JSONField(default=dict, blank=True)
    input_schema = models.JSONField(null=True, blank=True)
    output_schema = models.JSONField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    # Of a role that an agent made: {"execution_id", "step_path", "role_name"}.
    provenance = models.JSONField(null=True, blank=True, editable=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def spec(self) -> RoleSpec:
        """Picture this role as runners know it."""
        return RoleSpec(
            id=str(self.pk),
            name=self.name,
            kind=self.kind,
            base_prompt=self.base_prompt,
            config=self.config,
            tools=tuple(self.tools),
            needs_tools=self.needs_tools,
            model_constraints=self.model_constraints,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
        )


class RoleSnapshot(models.Model):
    """A role as some execution pinned it: immutable, one row per distinct content."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    role = models.ForeignKey(
        Role, on_delete=models.SET_NULL, null=True, related_name="snapshots"
    )
    digest = models.CharField(max_length=64, unique=True)
    body = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return f"{self.body['name']} of {self.created_at:%Y-%m-%d %H:%M:%S}"
