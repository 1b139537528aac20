"""Which orchestrations use a role; `roles.usage` asks before one is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from core_orchestration.models import Orchestration
from roles.models import Role
from roles.usage import RoleUser


def orchestrations_using(role: Role) -> Iterator[RoleUser]:
    """Name those, archived ones aside, with a step that names the role."""
    by_id_or_name = Q(step_rows__role=role) | Q(step_rows__role_name=role.name)
    rows = Orchestration.objects.filter(by_id_or_name, archived_at=None)
    for pk, name in rows.order_by("name", "id").distinct().values_list("pk", "name"):
        yield RoleUser(kind="orchestration", id=str(pk), name=name)
