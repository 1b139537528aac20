"""Who sees and edits a row: its owner, and staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models

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


class Owned(models.Model):
    """What somebody makes and edits as a document; nobody's is everybody's to see."""

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

    class Meta:
        abstract = True
