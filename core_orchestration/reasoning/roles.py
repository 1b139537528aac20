"""The roles that a pattern's config names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from core_orchestration.definition import Step

# The fields of each pattern's config that name a role.
ROLE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "debate": ("creator", "critic", "judge"),
    "map_reduce": ("mapper", "reducer"),
    "planner_executor_reviewer": ("planner", "executor", "reviewer"),
    "tree_of_thoughts": ("generator", "scorer"),
    "vote": ("voter", "tie_breaker"),
}
Named = str | Mapping[str, Any]


def id_and_name(named: Named) -> tuple[str | None, str | None]:
    """Return the id and the name of a role, of which a config gives one."""
    if isinstance(named, str):
        return None, named
    return named.get("role_id"), named.get("role_name")


def roles_of(step: Step) -> Iterator[tuple[str | None, str | None]]:
    """Yield the id or the name of each role that a pattern calls."""
    for name in _given(step):
        yield id_and_name(step.config[name])


def with_roles(step: Step, change: Callable[[Named], Named]) -> Mapping[str, Any]:
    """Return a pattern's config with each of its roles changed."""
    changed = {name: change(step.config[name]) for name in _given(step)}
    return {**step.config, **changed}


def _given(step: Step) -> list[str]:
    names = ROLE_FIELDS.get(step.step_type, ())
    return [name for name in names if step.config.get(name) is not None]
