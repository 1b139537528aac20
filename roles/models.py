"""Who works (roles), as whom they worked (snapshots), and who may ask (keys)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from roles.runners import RoleSpec

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to whoever made them; those made by nobody are shared."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Staff see everything, others their own rows and the shared ones."""
        if getattr(user, "is_staff", False):
            return self
        return self.filter(models.Q(created_by=user.pk) | models.Q(created_by=None))

    def editable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Staff edit everything, others what they made."""
        if getattr(user, "is_staff", False):
            return self
        return self.filter(created_by=user.pk)


class Role(models.Model):
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
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

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


class ApiKey(models.Model):
    """A bearer key of a user; only a digest of its secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "id")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


def content_digest(body: Any) -> str:
    """Name a JSON value by its content: SHA-256 of its canonical text, in hex."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
