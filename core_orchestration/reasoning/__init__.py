"""
Patterns of reasoning: one step as it is written, ordinary steps as it runs.

A pattern is expanded before an orchestration is compiled, so that each of its calls is
a step with a path, limits and retries as all others. What was published stays as it
was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from core_orchestration.definition import Definition, Step

from . import debating, mapping, planning, thinking, voting
from .roles import ROLE_FIELDS, roles_of, with_roles

_PATTERNS: Mapping[str, Callable[[Step], Step]] = {
    "debate": debating.expand,
    "map_reduce": mapping.expand,
    "planner_executor_reviewer": planning.expand,
    "tree_of_thoughts": thinking.expand,
    "vote": voting.expand,
}


def expand(step: Step) -> Step:
    """Write a pattern as the steps that it stands for; others are left as they are."""
    pattern = _PATTERNS.get(step.step_type)
    return step if pattern is None else pattern(step)


def expanded(definition: Definition) -> Definition:
    """Expand the patterns of any depth, in `on_failure` as well."""
    return replace(
        definition,
        steps=_expanded(definition.steps),
        on_failure=_expanded(definition.on_failure),
    )


def _expanded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(
        expand(replace(step, steps=_expanded(step.steps)) if step.steps else step)
        for step in steps
    )


def made_keys(step: Step) -> list[str]:
    """List the keys of the steps that a pattern is made of, without its own."""
    return list(_keys(expand(step).steps))


def _keys(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        yield step.key
        yield from _keys(step.steps)


__all__ = [
    "ROLE_FIELDS",
    "expand",
    "expanded",
    "made_keys",
    "roles_of",
    "with_roles",
]
