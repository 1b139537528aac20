"""Outside MCP servers whose tools roles may be granted."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from roles.models.ownership import Owned, OwnedQuerySet


class McpServer(Owned):
    """
    An MCP server: at a URL (streamable HTTP), or a command that workers start (stdio).

    `headers` and `environment` may hold secret references. Of its tools those in
    `allowed_tools` are offered, or all if that is `["*"]`; those in `approved_tools`
    wait for a person before each call.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True, default="")
    url = models.CharField(max_length=2000, blank=True, default="")
    command = models.JSONField(default=list, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    environment = models.JSONField(default=dict, blank=True)
    allowed_tools = ArrayField(
        models.CharField(max_length=200), default=list, blank=True
    )
    approved_tools = ArrayField(
        models.CharField(max_length=200), default=list, blank=True
    )
    timeout_ms = models.PositiveIntegerField(default=30_000)
    is_active = models.BooleanField(default=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name = "MCP server"
        constraints = (
            models.CheckConstraint(
                condition=Q(url="") & ~Q(command=[]) | ~Q(url="") & Q(command=[]),
                name="mcp_server_url_or_command",
            ),
        )

    def __str__(self) -> str:
        return self.name
