"""
Register, change and remove roles: the one way that every interface takes.

A document is checked as a whole and refused with everything that is wrong in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from roles import audit
from roles.documents import completed, document_of, problems_of
from roles.models import Role
from roles.problems import InvalidDocument, Problem
from roles.secrets import vault
from roles.secrets.references import names_in
from roles.usage import RoleUser, users_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class InvalidRole(InvalidDocument):
    """The role's document is wrong."""


class RoleInUse(Exception):
    """The role cannot be deleted as long as `users` name it; change them first."""

    def __init__(self, role: Role, users: Sequence[RoleUser]) -> None:
        self.users = list(users)
        names = ", ".join(f"{user.kind} {user.name!r}" for user in self.users[:5])
        more = f" and {len(self.users) - 5} more" if len(self.users) > 5 else ""
        super().__init__(
            f"The role {role.name!r} is used by {names}{more}; let these name another "
            "role first."
        )


def role_problems(
    document: Any, *, role: Role | None = None, by: AbstractBaseUser | None = None
) -> list[Problem]:
    """List everything that keeps a document from being saved by somebody (as `role`)."""
    found = problems_of(document) or _secret_problems(document, role, by)
    if any(problem.pointer == "/name" for problem in found):
        return found
    if isinstance(document, dict) and _is_taken(document.get("name"), role):
        found.append(_name_taken())
    return found


def save_role(
    document: Any,
    *,
    by: AbstractBaseUser | None = None,
    role: Role | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Role:
    """
    Make a role, or replace `role`, by a whole document.

    Fields that are left out take their defaults; `by` becomes the owner of a new
    role, which keeps the `provenance` of one that an agent made. Raises InvalidRole
    with every problem.
    """
    if problems := role_problems(document, role=role, by=by):
        raise InvalidRole(problems)
    saved = role or Role(
        created_by_id=by.pk if by else None,
        provenance=dict(provenance) if provenance else None,
    )
    for field, value in completed(document).items():
        setattr(saved, field, value)
    try:
        with transaction.atomic():
            _hold_secrets(document, role, by)
            before = _before(role)
            saved.save(force_insert=role is None)
            _note(saved, before)
    except IntegrityError as error:  # somebody took the name in between
        raise InvalidRole([_name_taken()]) from error
    return saved


def _before(role: Role | None) -> dict[str, Any] | None:
    """Read what is stored: a form has changed the object already."""
    if role is None:
        return None
    stored = Role.objects.select_for_update(no_key=True).filter(pk=role.pk).first()
    return document_of(stored) if stored else None


def _note(role: Role, before: Mapping[str, Any] | None) -> None:
    after = document_of(role)
    if before == after:
        return
    audit.record(
        "role.update" if before else "role.create",
        object_type="role",
        object_id=role.pk,
        object_name=role.name,
        before=before,
        after=after,
    )


def patch_role(role: Role, changes: Any, *, by: AbstractBaseUser | None = None) -> Role:
    """Replace the fields that `changes` names; raises InvalidRole as save does."""
    if not isinstance(changes, Mapping):
        return save_role(changes, by=by, role=role)
    return save_role({**document_of(role), **changes}, by=by, role=role)


@transaction.atomic
def delete_role(role: Role) -> None:
    """
    Remove a role that nothing uses; raises RoleInUse otherwise.

    The row's lock keeps those who are about to use the role waiting.
    """
    locked = Role.objects.select_for_update().get(pk=role.pk)
    if users := users_of(locked):
        raise RoleInUse(locked, users)
    locked.delete()
    audit.record(
        "role.delete",
        object_type="role",
        object_id=role.pk,
        object_name=locked.name,
        before=document_of(locked),
    )


def _hold_secrets(
    document: Mapping[str, Any], role: Role | None, by: AbstractBaseUser | None
) -> None:
    """Keep what a role names from being deleted; raises InvalidRole if it just was."""
    vault.hold(document.get("config"))
    if gone := _secret_problems(document, role, by):
        raise InvalidRole(gone)


def _secret_problems(
    document: Mapping[str, Any], role: Role | None, by: AbstractBaseUser | None
) -> list[Problem]:
    """
    List the secrets in the configuration that `by` may not name.

    Nobody is asked for what stays as it is: staff may have put a secret there.
    """
    config = document.get("config", {})
    if not names_in(config):
        return []
    same = {"pk": role.pk, "kind": document["kind"], "config": config} if role else {}
    if same and Role.objects.filter(**same).exists():
        return []
    return vault.naming_problems(by, {"/config": config})


def _is_taken(name: Any, role: Role | None) -> bool:
    others = Role.objects.filter(name=name)
    if role is not None:
        others = others.exclude(pk=role.pk)
    return isinstance(name, str) and others.exists()


def _name_taken() -> Problem:
    return Problem("/name", "name_taken", "Another role has this name.")
