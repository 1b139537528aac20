"""A body's steps with their templates parsed, whatever frame will run them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from core_orchestration.definition import (
    BRANCHING_TYPES,
    Block,
    Definition,
    Step,
    blocks_of,
)
from core_orchestration.language import Condition, Reference, Template
from executions.paths import UNWIND
from executions.plan.readers import UNTIL, Reader, conditions_of, templates_of
from executions.plan.unwinding import UNDO_TYPE, steps_beside
from roles.references import reference

ONLY_BODY = ""  # how the one body of a loop or a map is called
# What steps read of the frames that they stand in.
FRAME_ROOTS = frozenset({"failure", "index", "item", "loop"})
_NO_STEPS = frozenset({"", "input", "errors"}) | FRAME_ROOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What templates name: keys of the context, and what else rendering takes."""

    keys: frozenset[str] = frozenset()
    previous_output: bool = False
    errors: bool = False
    frame: bool = False

    @classmethod
    def of(cls, readers: Iterable[Reader]) -> Reads:
        references = {ref for reader in readers for ref in reader.references}
        keys = {_context_key(ref) for ref in references}
        roots = {ref.root for ref in references}
        return cls(
            keys=frozenset(keys - _NO_STEPS),
            previous_output="output" in roots,
            errors="errors" in keys,
            frame=bool((keys | roots) & FRAME_ROOTS),
        )


def _context_key(ref: Reference) -> str:
    return str(ref.path[0]) if ref.root == "context" and ref.path else ""


@dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """A step with its parsed templates and the bodies that it holds, by branch."""

    step: Step
    ordinal: int  # among all steps of the version
    block: Block
    bodies: Mapping[str, Body]

    @cached_property
    def input(self) -> Template | None:
        given = self.step.input_mapping
        return None if given is None else Template.parse(given)

    @cached_property
    def condition(self) -> Condition | None:
        given = self.step.condition
        return None if given is None else Condition.parse(given)

    @cached_property
    def exports(self) -> Mapping[str, Template]:
        written = self.step.output_mapping or {}
        return {name: Template.parse(value) for name, value in written.items()}

    @cached_property
    def templates(self) -> Mapping[str, Template]:
        return templates_of(self.step)

    @cached_property
    def conditions(self) -> Mapping[str, Condition]:
        return conditions_of(self.step)

    @cached_property
    def role(self) -> str:
        """How the execution's pins name the step's role."""
        return reference(role_id=self.step.role_id, role_name=self.step.role_name)

    @cached_property
    def before(self) -> Reads:
        """What deciding whether it runs takes, and on what."""
        own = Reads.of(self._readers_before())
        begins_with_output = self.input is None and self.step.has_role
        return Reads(
            keys=own.keys,
            previous_output=own.previous_output or begins_with_output,
            errors=own.errors,
            frame=own.frame,
        )

    def _readers_before(self) -> Iterator[Reader]:
        if self.input is not None:
            yield self.input
        if self.condition is not None:
            yield self.condition
        yield from self.templates.values()
        for name, condition in self.conditions.items():
            if name != UNTIL:
                yield condition

    @cached_property
    def after(self) -> Reads:
        """What rendering its output mapping takes."""
        return Reads.of(self.exports.values())


@dataclass(frozen=True, kw_only=True)
class Body:
    """
    Steps that run in order in one frame.

    Their ordinals begin at `first`, and those of the bodies inside follow theirs.
    """

    steps: tuple[Step, ...]
    first: int = 0

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return blocks_of(self.steps)

    @cached_property
    def compiled(self) -> tuple[CompiledStep, ...]:
        return tuple(self._compiled())

    @cached_property
    def by_key(self) -> Mapping[str, CompiledStep]:
        return {one.step.key: one for one in self.compiled}

    @cached_property
    def makers(self) -> Mapping[str, frozenset[str]]:
        """From each name of the context to the keys of the steps that write it."""
        makers: defaultdict[str, set[str]] = defaultdict(set)
        for step in self.steps:
            for name in (step.key, *(step.output_mapping or {})):
                makers[name].add(step.key)
        return {name: frozenset(keys) for name, keys in makers.items()}

    def _compiled(self) -> Iterator[CompiledStep]:
        inside = self.first + len(self.steps)
        for block in self.blocks:
            for place, step in zip(block.ordinals, block.steps, strict=True):
                bodies = {}
                for name, steps in _bodies(step).items():
                    bodies[name] = Body(steps=steps, first=inside)
                    inside += size(steps)
                yield CompiledStep(
                    step=step, ordinal=self.first + place, block=block, bodies=bodies
                )


def _bodies(step: Step) -> Mapping[str, tuple[Step, ...]]:
    if not step.steps:
        return {}
    if step.step_type in BRANCHING_TYPES or step.step_type == UNDO_TYPE:
        return step.branches
    return {ONLY_BODY: step.steps}


def size(steps: Sequence[Step]) -> int:
    return sum(1 + size(step.steps) for step in steps)


def roles_named(definition: Definition) -> set[str]:
    """Collect how the steps name their roles, for pinning."""
    return {*_roles(definition.steps), *_roles(steps_beside(definition, UNWIND))}


def _roles(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if step.has_role:
            yield reference(role_id=step.role_id, role_name=step.role_name)
        yield from _roles(step.steps)
