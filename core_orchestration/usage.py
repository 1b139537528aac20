"""Which orchestrations use a role; `roles.usage` asks before one is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from core_orchestration.models import Orchestration
from roles.models import Role
from roles.usage import RoleUser


def orchestrations_using(role: Role) -> Iterator[RoleUser]:
    """Name those, archived ones aside, whose steps, or what undoes them, name it."""
    does = Q(step_rows__role=role) | Q(step_rows__role_name=role.name)
    undoes = Q(step_rows__compensate__role_id=str(role.pk)) | Q(
        step_rows__compensate__role_name=role.name
    )
    rows = Orchestration.objects.filter(does | undoes, archived_at=None)
    for pk, name in rows.order_by("name", "id").distinct().values_list("pk", "name"):
        yield RoleUser(kind="orchestration", id=str(pk), name=name)
