"""
Save orchestrations as people write them: checked whole, stored, published.

Every interface goes this way: a document with the contract's fields comes in, and
either all of it is kept in one transaction or all that is wrong with it is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Q, Subquery

from core_orchestration import versions
from core_orchestration.definition import Step, parse, to_json
from core_orchestration.models import Orchestration
from core_orchestration.rows import normal_steps, replace_steps, steps_of
from core_orchestration.validation import RoleDirectory, validate
from roles.models import Role
from roles.problems import InvalidDocument, Problem

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "tags": [],
    "is_active": True,
    "input_schema": None,
    "timeout_ms": None,
    "output": None,
}
FIELDS = ("name", *DEFAULTS)


class InvalidDefinition(InvalidDocument):
    """The orchestration's document is wrong."""


def problems_of(
    document: Any,
    *,
    by: AbstractBaseUser | None = None,
    orchestration: Orchestration | None = None,
) -> list[Problem]:
    """
    List everything that keeps a document from being saved (as `orchestration`).

    Roles are those that `by` may see; for nobody in particular, all of them.
    """
    found = validate(document, role_directory(by), max_steps=settings.CORE_MAX_STEPS)
    if _has_sound_name(document, found) and _is_taken(document["name"], orchestration):
        found.append(_name_taken())
    return found


@transaction.atomic
def save(
    document: Any,
    *,
    by: AbstractBaseUser | None = None,
    orchestration: Orchestration | None = None,
    publish: bool = True,
) -> Orchestration:
    """
    Make an orchestration, or replace `orchestration`, by a whole document.

    Fields that are left out take their defaults; `by` becomes the owner of a new
    one. New executions run it as published here; an unchanged definition keeps its
    version. Raises InvalidDefinition with every problem.
    """
    if problems := problems_of(document, by=by, orchestration=orchestration):
        raise InvalidDefinition(problems)
    definition = parse(document)
    steps = normal_steps(definition.steps)
    saved = _save_row(document, by, orchestration)
    _hold_roles(steps)
    replace_steps(saved, steps)
    if publish:
        snapshot = to_json(replace(definition, steps=steps))
        versions.publish(saved, snapshot, by=by)
    return saved


def patch(
    orchestration: Orchestration, changes: Any, *, by: AbstractBaseUser | None = None
) -> Orchestration:
    """Replace the top-level fields that `changes` names; raises as `save` does."""
    if not isinstance(changes, dict):
        return save(changes, by=by, orchestration=orchestration)
    document = {**document_of(orchestration), **changes}
    return save(document, by=by, orchestration=orchestration)


def document_of(orchestration: Orchestration) -> dict[str, Any]:
    """Write the document that would make this orchestration again."""
    fields = {field: getattr(orchestration, field) for field in FIELDS}
    return {**fields, "steps": steps_of(orchestration)}


def draft_problems(orchestration: Orchestration) -> list[Problem]:
    """Check the rows as they are now; roles may have gone since they were saved."""
    return problems_of(document_of(orchestration), orchestration=orchestration)


@transaction.atomic
def archive(orchestration: Orchestration, now: datetime) -> None:
    """
    Take an orchestration out of use; its versions and executions stay.

    Its name is free again, and its rows name their roles by name only, so that
    they keep no role from being deleted.
    """
    role_name = Role.objects.filter(pk=OuterRef("role_id")).values("name")
    orchestration.step_rows.exclude(role=None).update(
        role_name=Subquery(role_name), role=None
    )
    Orchestration.objects.filter(pk=orchestration.pk, archived_at=None).update(
        archived_at=now, updated_at=now
    )


def role_directory(user: AbstractBaseUser | None) -> RoleDirectory:
    """List the roles that a user may name in steps; for nobody, all of them."""
    rows = Role.objects.all() if user is None else Role.objects.visible_to(user)
    pairs = rows.values_list("pk", "name")
    return RoleDirectory.of({str(pk): name for pk, name in pairs})


def _has_sound_name(document: Any, found: list[Problem]) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("name"), str)
        and all(problem.pointer != "/name" for problem in found)
    )


def _save_row(
    document: Mapping[str, Any],
    by: AbstractBaseUser | None,
    orchestration: Orchestration | None,
) -> Orchestration:
    row = orchestration or Orchestration(created_by_id=by.pk if by else None)
    for field, value in {**DEFAULTS, **document}.items():
        if field in FIELDS:
            setattr(row, field, value)
    try:
        with transaction.atomic():
            row.save(force_insert=orchestration is None)
    except IntegrityError as error:  # somebody took the name in between
        raise InvalidDefinition([_name_taken()]) from error
    return row


def _hold_roles(steps: tuple[Step, ...]) -> None:
    """Keep the roles that the steps name from being deleted until the commit."""
    named = list(_roles_named(steps))
    ids = {step.role_id for step in named if step.role_id}
    names = {step.role_name for step in named if step.role_name}
    rows = Role.objects.filter(Q(pk__in=ids) | Q(name__in=names)).order_by("pk")
    held = rows.select_for_update(no_key=True).values_list("pk", flat=True)
    if gone := ids - {str(pk) for pk in held}:
        detail = f"The role with the id {min(gone)} was deleted just now."
        raise InvalidDefinition([Problem("/steps", "unknown_role", detail)])


def _roles_named(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _roles_named(step.steps)


def _is_taken(name: str, orchestration: Orchestration | None) -> bool:
    others = Orchestration.objects.filter(name=name, archived_at=None)
    if orchestration is not None:
        others = others.exclude(pk=orchestration.pk)
    return others.exists()


def _name_taken() -> Problem:
    return Problem("/name", "name_taken", "Another orchestration has this name.")
