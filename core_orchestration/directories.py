"""What people may name in a definition: the roles and orchestrations that they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from core_orchestration.keys import walk
from core_orchestration.models import Orchestration
from core_orchestration.validation import OrchestrationDirectory, RoleDirectory
from roles.models import Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


def role_directory(user: AbstractBaseUser | None) -> RoleDirectory:
    """List the roles that a user may name in steps; for nobody, all of them."""
    rows = Role.objects.all() if user is None else Role.objects.visible_to(user)
    pairs = rows.values_list("pk", "name")
    return RoleDirectory.of({str(pk): name for pk, name in pairs})


def orchestration_directory(
    document: Any, user: AbstractBaseUser | None, edited: Orchestration | None
) -> OrchestrationDirectory | None:
    """
    List the orchestrations that a document may name, if it names any.

    The one that is `edited` goes by the name that the document gives it.
    """
    if not _names_any(document):
        return None
    rows = Orchestration.objects.current()
    if user is not None:
        rows = rows.visible_to(user)
    found = rows.order_by().annotate(newest=Max("versions__number"))
    names, newest = {}, {}
    for pk, name, number in found.values_list("pk", "name", "newest"):
        names[str(pk)], newest[str(pk)] = name, number or 0
    if edited is not None and isinstance(document.get("name"), str):
        names[str(edited.pk)] = document["name"]
    return OrchestrationDirectory.of(names, newest)


def _names_any(document: Any) -> bool:
    if not isinstance(document, Mapping):
        return False
    lists = (document.get("steps"), document.get("on_failure"))
    return any(
        step.get("step_type") == "orchestration"
        for steps in lists
        for step in walk(steps)
    )
