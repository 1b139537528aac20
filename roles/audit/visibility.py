"""
Who may read what of the audit log.

Executions stand above this app, so they say through `register_executions` which of
them somebody may see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet

from roles.models import AuditEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

Visible = Callable[[Any], QuerySet[Any]]  # from a user to the ids of executions

_EXECUTIONS: dict[str, Visible] = {}


def register_executions(visible: Visible) -> None:
    """Let `visible` name the executions that a user may see, by their ids."""
    _EXECUTIONS["visible"] = visible


def visible_to(user: AbstractBaseUser) -> QuerySet[AuditEntry]:
    """
    Return everything to staff; to others their own acts and those of their executions.

    What staff did to somebody's role or execution is for staff to read. Both parts
    are found by an index: `audit_by_user` and `audit_by_execution`.
    """
    if getattr(user, "is_staff", False):
        return AuditEntry.objects.all()
    parts = AuditEntry.objects.filter(user=user.pk).order_by().values("pk")
    for visible in _EXECUTIONS.values():
        acts = AuditEntry.objects.filter(execution_id__in=visible(user))
        parts = parts.union(acts.order_by().values("pk"), all=True)
    return AuditEntry.objects.filter(pk__in=parts)
