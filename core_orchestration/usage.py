"""Which orchestrations use a role; `roles.usage` asks before one is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from core_orchestration.models import Orchestration
from core_orchestration.reasoning import ROLE_FIELDS
from roles.models import Role
from roles.usage import RoleUser


def orchestrations_using(role: Role) -> Iterator[RoleUser]:
    """Name those, archived ones aside, whose steps, or what is in them, name it."""
    does = Q(step_rows__role=role) | Q(step_rows__role_name=role.name)
    undoes = Q(step_rows__compensate__role_id=str(role.pk)) | Q(
        step_rows__compensate__role_name=role.name
    )
    named = does | undoes | _in_patterns(role)
    rows = Orchestration.objects.filter(named, archived_at=None)
    for pk, name in rows.order_by("name", "id").distinct().values_list("pk", "name"):
        yield RoleUser(kind="orchestration", id=str(pk), name=name)


def _in_patterns(role: Role) -> Q:
    """Find steps whose config names a role, by its name alone or in an object."""
    spelled = {"": role.name, "__role_name": role.name, "__role_id": str(role.pk)}
    found = Q()
    for kind, fields in ROLE_FIELDS.items():
        named = Q()
        for field in fields:
            for inside, value in spelled.items():
                named |= Q(**{f"step_rows__config__{field}{inside}": value})
        found |= Q(step_rows__step_type=kind) & named
    return found
