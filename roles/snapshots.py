"""
Pin roles for an execution: what they were when it started is what it runs with.

A snapshot is named by its content, so that pinning an unchanged role writes nothing
and edits by any way, admin, API or SQL, are noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection

from roles.models import RoleSnapshot, content_digest
from roles.runners import RoleSpec


class RoleUnavailable(LookupError):
    """A role that a step names does not exist any more or is not active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A role as it is now, and what tells whether an execution may have it."""

    spec: RoleSpec
    owner: int | None
    is_active: bool


def pin(
    references: Collection[str], *, may_use: Callable[[Candidate], bool]
) -> dict[str, str]:
    """
    Map each reference to the id of a snapshot of the role as it is now.

    Raises RoleUnavailable for a role that is missing or switched off; one that may
    not be used is as good as missing, whatever its name says.
    """
    roles = {name: role for name, role in _look_up(references).items() if may_use(role)}
    _refuse_unavailable(references, roles)
    return {name: _snapshot_id(role.spec) for name, role in roles.items()}


# Every launch asks this: composing the query and making models of its rows took longer
# than answering it.
_LOOK_UP = """
SELECT created_by_id, is_active, to_json(r) FROM roles_role r
WHERE id = ANY(%s::uuid[]) OR name = ANY(%s)
"""
_FIELDS = tuple(each.name for each in fields(RoleSpec))


def _look_up(references: Collection[str]) -> dict[str, Candidate]:
    ids = [name[3:] for name in references if name.startswith("id:")]
    names = [name[5:] for name in references if name.startswith("name:")]
    with connection.cursor() as cursor:
        cursor.execute(_LOOK_UP, [ids, names])
        rows = cursor.fetchall()
    found: dict[str, Candidate] = {}
    for owner, is_active, row in rows:
        spec = _spec({name: row[name] for name in _FIELDS})
        role = Candidate(spec=spec, owner=owner, is_active=is_active)
        for spelling in (f"id:{spec.id}", f"name:{spec.name}"):
            if spelling in references:
                found[spelling] = role
    return found


def _refuse_unavailable(
    references: Collection[str], roles: Mapping[str, Candidate]
) -> None:
    for name in sorted(references):
        kind, _, value = name.partition(":")
        if name not in roles:
            raise RoleUnavailable(f"There is no role with the {kind} {value!r}.")
        if not roles[name].is_active:
            raise RoleUnavailable(
                f"The role {roles[name].spec.name!r} is not active; activate it or "
                "name another one in the step."
            )


@lru_cache(maxsize=4096)
def _known_snapshot_id(digest: str) -> str:
    return str(RoleSnapshot.objects.values_list("pk", flat=True).get(digest=digest))


def _snapshot_id(spec: RoleSpec) -> str:
    body = asdict(spec)
    digest = content_digest(body)
    try:
        return _known_snapshot_id(digest)
    except RoleSnapshot.DoesNotExist:
        RoleSnapshot.objects.bulk_create(
            [RoleSnapshot(role_id=UUID(spec.id), digest=digest, body=body)],
            ignore_conflicts=True,
        )
        return _known_snapshot_id(digest)


@lru_cache(maxsize=4096)
def load(snapshot_id: str) -> RoleSpec:
    """Return a pinned role; snapshots never change, so they are kept in memory."""
    body = RoleSnapshot.objects.values_list("body", flat=True).get(pk=snapshot_id)
    return _spec(body)


def _spec(body: Mapping[str, Any]) -> RoleSpec:
    return RoleSpec(**{**body, "tools": tuple(body["tools"])})
