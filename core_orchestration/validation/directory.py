"""The roles that a definition may name, as validation needs to know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDirectory:
    """All roles: names by id (in the usual lower-case form), and the names alone."""

    ids: Mapping[str, str]
    names: frozenset[str]

    @classmethod
    def of(cls, ids: Mapping[str, str]) -> RoleDirectory:
        return cls(ids=ids, names=frozenset(ids.values()))

    def has_id(self, role_id: str) -> bool:
        return normal_id(role_id) in self.ids


def normal_id(role_id: str) -> str | None:
    """Write an id in its usual form; null when it is no UUID."""
    try:
        return str(UUID(role_id))
    except ValueError:
        return None
