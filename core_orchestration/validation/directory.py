"""The roles and orchestrations that a definition may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationDirectory:
    """
    All orchestrations: ids (in the usual lower-case form) by name, and both alone.

    `newest` has the number of the newest version by id, 0 where none was published;
    nothing is said about versions of those that it leaves out.
    """

    ids: frozenset[str]
    names: frozenset[str]
    by_name: Mapping[str, str]
    newest: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ids: Mapping[str, str], newest: Mapping[str, int] | None = None
    ) -> OrchestrationDirectory:
        return cls(
            ids=frozenset(ids),
            names=frozenset(ids.values()),
            by_name={name: id_ for id_, name in ids.items()},
            newest=newest or {},
        )

    def including(self, name: object) -> OrchestrationDirectory:
        """Add a name: an orchestration that is still to be saved may name itself."""
        known = self.names | {name} if isinstance(name, str) else self.names
        return replace(self, names=known)

    def newest_of(self, name: str | None, id_: str | None) -> int | None:
        """Return the newest version's number, if it is known."""
        known = normal_id(id_) if id_ else self.by_name.get(name or "")
        return self.newest.get(known) if known else None


def normal_id(written: str) -> str | None:
    """Write an id in its usual form; null when it is no UUID."""
    try:
        return str(UUID(written))
    except ValueError:
        return None
