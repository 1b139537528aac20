"""
A published version made ready to run: templates parsed, needs worked out.

A plan is a pure function of a version; versions never change, so each process
compiles one once and keeps it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core_orchestration.definition import Block, Definition, Step
from core_orchestration.language import Condition, Reference, Template
from roles.references import reference

_SHORTEST_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What rendering reads: step runs by path, and what `output` stands for."""

    paths: frozenset[str] = frozenset()
    previous_output: bool = False
    errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step with its place and its parsed templates."""

    step: Step
    path: str
    ordinal: int
    block: Block
    input: Template | None
    exports: Mapping[str, Template]
    condition: Condition | None
    role: str  # how the execution's pins name the step's role
    before: Needs  # to decide whether it runs, and on what
    after: Needs  # to render its output mapping

    @property
    def is_batchable(self) -> bool:
        """
        Tell whether the step may be claimed before its turn comes.

        A tight time limit would be felt, and whoever may run but once must not be
        taken for begun.
        """
        return not self.step.at_most_once and self.step.timeout_ms >= _SHORTEST_MS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every step of a version by path, in blocks, and its output template."""

    definition: Definition
    output: Template | None

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.definition.blocks

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        return tuple(
            self._planned(step, block, ordinal)
            for block in self.blocks
            for ordinal, step in zip(block.ordinals, block.steps, strict=True)
        )

    @cached_property
    def by_path(self) -> Mapping[str, PlannedStep]:
        return {planned.path: planned for planned in self.steps}

    @cached_property
    def output_needs(self) -> Needs:
        return self._needs([self.output] if self.output else [])

    def of_block(self, block: Block) -> tuple[PlannedStep, ...]:
        return self.steps[block.start : block.start + len(block.steps)]

    def queued_for_a_time(self, block: Block) -> list[PlannedStep]:
        """List the steps of a block that wait for a worker for a limited time."""
        steps = self.of_block(block)
        return [step for step in steps if step.step.queue_timeout_ms is not None]

    def first_open(self, settled: Container[str], *, start: int = 0) -> Block | None:
        """Return the first block, of those from `start` on, that is not all settled."""
        for block in self.blocks[start:]:
            if not all(step.path in settled for step in self.of_block(block)):
                return block
        return None

    def next_block(self, block: Block) -> Block | None:
        """Return the block after this one, None after the last."""
        following = block.index + 1
        return self.blocks[following] if following < len(self.blocks) else None

    @cached_property
    def _exporters(self) -> Mapping[str, frozenset[str]]:
        """From each name that output mappings write to the steps that write it."""
        writers: dict[str, set[str]] = {}
        for step in self.definition.steps:
            for name in step.output_mapping or {}:
                writers.setdefault(name, set()).add(step.key)
        return {name: frozenset(keys) for name, keys in writers.items()}

    def _planned(self, step: Step, block: Block, ordinal: int) -> PlannedStep:
        given = step.input_mapping
        template = None if given is None else Template.parse(given)
        condition = None if step.condition is None else Condition.parse(step.condition)
        exports = {
            name: Template.parse(value)
            for name, value in (step.output_mapping or {}).items()
        }
        before = self._needs([part for part in (template, condition) if part])
        if template is None:
            before = Needs(
                paths=before.paths, previous_output=True, errors=before.errors
            )
        return PlannedStep(
            step=step,
            path=step.key,
            ordinal=ordinal,
            block=block,
            input=template,
            exports=exports,
            condition=condition,
            role=reference(role_id=step.role_id, role_name=step.role_name),
            before=before,
            after=self._needs(exports.values()),
        )

    def _needs(self, readers: Iterable[Template | Condition]) -> Needs:
        references = {ref for reader in readers for ref in reader.references}
        roots = {_context_key(ref) for ref in references}
        paths: set[str] = set()
        for key in roots - {"", "input", "errors"}:
            paths |= self._exporters.get(key, frozenset({key}))
        return Needs(
            paths=frozenset(paths),
            previous_output=any(ref.root == "output" for ref in references),
            errors="errors" in roots,
        )


def _context_key(ref: Reference) -> str:
    return str(ref.path[0]) if ref.root == "context" and ref.path else ""


def compile_plan(definition: Definition) -> Plan:
    """
    Parse what a definition's steps will render.

    A definition that was published has passed validation, so nothing is refused.
    """
    output = definition.output
    return Plan(
        definition=definition,
        output=None if output is None else Template.parse(output),
    )


def roles_named(definition: Definition) -> set[str]:
    """Collect how the steps name their roles, for pinning."""
    return {
        reference(role_id=step.role_id, role_name=step.role_name)
        for step in definition.steps
    }


def scope_of(context: Mapping[str, Any], output: Any, *, first: bool) -> dict[str, Any]:
    """Build what templates see; the first step has no previous output to see."""
    return {"context": context} if first else {"context": context, "output": output}
