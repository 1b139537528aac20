"""
Save orchestrations as people write them: checked whole, stored, published.

Every interface goes this way: a document with the contract's fields comes in, and
either all of it is kept in one transaction or all that is wrong with it is raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Q, Subquery

from core_orchestration import edits, versions
from core_orchestration.definition import Step, parse, to_json
from core_orchestration.directories import orchestration_directory, role_directory
from core_orchestration.models import Orchestration
from core_orchestration.reasoning import roles_of
from core_orchestration.rows import lists_of, normal_steps, replace_steps
from core_orchestration.validation import validate
from roles.models import Role
from roles.problems import InvalidDocument, Problem

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "tags": [],
    "is_active": True,
    "expose_as_tool": False,
    "input_schema": None,
    "timeout_ms": None,
    "output": None,
    "limits": {},
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

    Roles and orchestrations are those that `by` may see; for nobody in particular,
    all of them.
    """
    found = validate(
        document,
        role_directory(by),
        max_steps=settings.CORE_MAX_STEPS,
        ceilings=ceilings(),
        orchestrations=orchestration_directory(document, by, orchestration),
    )
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
    provenance: Mapping[str, str] | None = None,
) -> Orchestration:
    """
    Make an orchestration, or replace `orchestration`, by a whole document.

    Fields that are left out take their defaults; `by` becomes the owner of a new one,
    which keeps the `provenance` of one that an agent made. New executions run it as published here; an unchanged definition keeps its
    version. Raises InvalidDefinition with every problem.
    """
    if problems := problems_of(document, by=by, orchestration=orchestration):
        raise InvalidDefinition(problems)
    definition = parse(document)
    steps = normal_steps(definition.steps)
    on_failure = normal_steps(definition.on_failure)
    whole = replace(definition, steps=steps, on_failure=on_failure)
    before = edits.stored(orchestration, FIELDS)
    row = orchestration or _new(by, provenance)
    saved = _save_row(document, row, is_new=orchestration is None)
    _hold_roles((*steps, *on_failure))
    replace_steps(saved, steps, on_failure)
    if publish:
        versions.publish(saved, to_json(whole), by=by)
    edits.note(saved, whole, FIELDS, before)
    return saved


def patch(
    orchestration: Orchestration,
    changes: Any,
    *,
    by: AbstractBaseUser | None = None,
    publish: bool = True,
) -> Orchestration:
    """Replace the top-level fields that `changes` names; raises as `save` does."""
    document = changes
    if isinstance(changes, dict):
        document = {**document_of(orchestration), **changes}
    return save(document, by=by, orchestration=orchestration, publish=publish)


def document_of(orchestration: Orchestration) -> dict[str, Any]:
    """Write the document that would make this orchestration again."""
    fields = {field: getattr(orchestration, field) for field in FIELDS}
    return {**fields, **lists_of(orchestration)}


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
    current = Orchestration.objects.filter(pk=orchestration.pk, archived_at=None)
    if current.update(archived_at=now, updated_at=now):
        edits.record(
            "orchestration.archive",
            orchestration,
            before={"archived_at": None},
            after={"archived_at": now.isoformat()},
        )


@transaction.atomic
def switch(orchestrations: Iterable[Orchestration], now: datetime, *, on: bool) -> None:
    """Let new executions of these orchestrations start, or none."""
    for each in orchestrations:
        others = Orchestration.objects.filter(pk=each.pk, is_active=not on)
        if others.update(is_active=on, updated_at=now):
            edits.record(
                edits.switching(on),
                each,
                before={"is_active": not on},
                after={"is_active": on},
            )


def ceilings() -> dict[str, int]:
    """Say what this installation allows, which an orchestration may lower."""
    return {
        "max_steps": settings.CORE_MAX_EXECUTION_STEPS,
        "max_fan_out": settings.CORE_MAX_FAN_OUT,
        "max_depth": settings.CORE_MAX_DEPTH,
        "max_iterations": settings.CORE_MAX_ITERATIONS,
        "max_context_bytes": settings.CORE_MAX_CONTEXT_BYTES,
    }


def _has_sound_name(document: Any, found: list[Problem]) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("name"), str)
        and all(problem.pointer != "/name" for problem in found)
    )


def _new(
    by: AbstractBaseUser | None, provenance: Mapping[str, str] | None
) -> Orchestration:
    return Orchestration(
        created_by_id=by.pk if by else None,
        provenance=dict(provenance) if provenance else None,
    )


def _save_row(
    document: Mapping[str, Any], row: Orchestration, *, is_new: bool
) -> Orchestration:
    for field, value in {**DEFAULTS, **document}.items():
        if field in FIELDS:
            setattr(row, field, value)
    try:
        with transaction.atomic():
            row.save(force_insert=is_new)
    except IntegrityError as error:  # somebody took the name in between
        raise InvalidDefinition([_name_taken()]) from error
    return row


def _hold_roles(steps: tuple[Step, ...]) -> None:
    """Keep the roles that the steps name from being deleted until the commit."""
    named = list(_roles_named(steps))
    ids = {role_id for role_id, _ in named if role_id}
    names = {name for _, name in named if name}
    rows = Role.objects.filter(Q(pk__in=ids) | Q(name__in=names)).order_by("pk")
    held = rows.select_for_update(no_key=True).values_list("pk", flat=True)
    if gone := ids - {str(pk) for pk in held}:
        detail = f"The role with the id {min(gone)} was deleted just now."
        raise InvalidDefinition([Problem("/steps", "unknown_role", detail)])


def _roles_named(steps: tuple[Step, ...]) -> Iterator[tuple[str | None, str | None]]:
    """Yield the id or the name of each role, those of undoing and patterns included."""
    for step in steps:
        yield step.role_id, step.role_name
        if step.compensate:
            yield step.compensate.get("role_id"), step.compensate.get("role_name")
        yield from roles_of(step)
        yield from _roles_named(step.steps)


def _is_taken(name: str, orchestration: Orchestration | None) -> bool:
    others = Orchestration.objects.filter(name=name, archived_at=None)
    if orchestration is not None:
        others = others.exclude(pk=orchestration.pk)
    return others.exists()


def _name_taken() -> Problem:
    return Problem("/name", "name_taken", "Another orchestration has this name.")
