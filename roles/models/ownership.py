"""Who sees and edits a row: its owner, and staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

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
