"""Values that nobody reads back: credentials of providers, endpoints and servers."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from uuid_utils.compat import uuid7

from roles.models.ownership import Owned, OwnedQuerySet


class Secret(Owned):
    """
    A named value, encrypted at rest; configuration refers to it by its name.

    With `allowed_hosts` (`host[:port]` each) it is sent to these and to no others.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True, default="")
    ciphertext = models.TextField(editable=False)
    allowed_hosts = ArrayField(
        models.CharField(max_length=260), default=list, blank=True
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        # Nobody's secret is everybody's: it must not become one by itself.
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
