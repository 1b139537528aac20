"""
Who uses a role. The apps above know, and say so through this table.

An app adds its finder when it is ready; whoever wants to delete a role asks here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from roles.models import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUser:
    """One thing that would be broken without the role."""

    kind: str  # such as "orchestration"
    id: str
    name: str


Finder = Callable[[Role], Iterable[RoleUser]]

_FINDERS: dict[str, Finder] = {}


def register_finder(kind: str, finder: Finder) -> None:
    """Let `finder` name the users of one kind; a kind has one finder."""
    _FINDERS[kind] = finder


def users_of(role: Role) -> list[RoleUser]:
    """List everything that uses a role, whoever owns it."""
    return [user for finder in _FINDERS.values() for user in finder(role)]
