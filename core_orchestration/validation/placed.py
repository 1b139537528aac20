"""A step as it was sent and where it stands, for all who look for its faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core_orchestration.definition import (
    BRANCHING_TYPES,
    MARKER_TYPES,
    REASONING_TYPES,
    REPEATING_TYPES,
    WAITING_TYPES,
)
from roles.problems import child

ALWAYS_HOLDING = REPEATING_TYPES | {"branch"}
_WITHOUT_ROLE = MARKER_TYPES | WAITING_TYPES | REASONING_TYPES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """
    A step as it was sent, and where it stands.

    `sound` names the fields whose type and range are right, and `settings` has what
    is sound of a config that its step type gives a meaning to; `key` is the
    effective one, sent or made of the name. `undoing` is what was sent as its
    `compensate`, looked at as a step in its place.
    """

    sent: Mapping[str, Any]
    pointer: str
    key: str
    order: int
    sound: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    body: tuple[Placed, ...] = ()
    undoing: Placed | None = None

    @property
    def step_type(self) -> str:
        return step_type_of(self.sent, self.sound)

    @property
    def holds_body(self) -> bool:
        """Tell whether the type gives nested steps a meaning."""
        return self.step_type in ALWAYS_HOLDING or self.is_branching

    @property
    def is_branching(self) -> bool:
        return is_branching(self.sent, self.step_type)

    @property
    def has_role(self) -> bool:
        """Tell whether a role does the step, and not the engine itself."""
        return not self.holds_body and self.step_type not in _WITHOUT_ROLE

    @property
    def group(self) -> str | None:
        group: str | None = self.get("parallel_group")
        return group

    @property
    def branch(self) -> str | None:
        branch: str | None = self.get("branch")
        return branch

    @property
    def branches(self) -> Mapping[str, tuple[Placed, ...]]:
        """The bodies of a branching step by name, each as it was sent."""
        bodies: dict[str, list[Placed]] = {}
        for inner in self.body:
            bodies.setdefault(inner.branch or inner.key, []).append(inner)
        return {name: tuple(steps) for name, steps in bodies.items()}

    @property
    def bodies(self) -> tuple[tuple[Placed, ...], ...]:
        """The nested steps by what runs in a row: all of them, or by branch."""
        if self.is_branching:
            return tuple(self.branches.values())
        return (self.body,) if self.body else ()

    @property
    def config(self) -> Mapping[str, Any]:
        """The config as it was sent; which of it is sound, `settings` tells."""
        config: Mapping[str, Any] = self.get("config", {})
        return config

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value, or the default when it is absent or faulty."""
        return self.sent[name] if name in self.sound else default

    def at(self, *path: str | int) -> str:
        return child(self.pointer, *path)


def step_type_of(sent: Mapping[str, Any], sound: frozenset[str]) -> str:
    return str(sent["step_type"] if "step_type" in sound else "sequential")


def is_branching(sent: Mapping[str, Any], step_type: str) -> bool:
    """Tell whether nested steps are branches; without any, `parallel` has a role."""
    if step_type == "parallel":
        return bool(sent.get("steps"))
    return step_type in BRANCHING_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The two lists of a document's steps; their keys are of one name space."""

    steps: tuple[Placed, ...]
    on_failure: tuple[Placed, ...] = ()

    def __iter__(self) -> Iterator[tuple[Placed, ...]]:
        yield self.steps
        yield self.on_failure

    def all(self) -> Iterator[Placed]:
        """Yield the steps of both lists and of any depth."""
        for steps in self:
            yield from flattened(steps)


def flattened(steps: tuple[Placed, ...]) -> Iterator[Placed]:
    """Yield steps of any depth, each before the ones in its body."""
    for step in steps:
        yield step
        yield from flattened(step.body)
