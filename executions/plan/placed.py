"""A body where a frame runs it: every step with its path and what it reads."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

from core_orchestration.definition import Block, Definition, Step
from core_orchestration.language import Condition, Template
from executions import paths
from executions.plan.compiled import (
    FRAME_ROOTS,
    ONLY_BODY,
    Body,
    CompiledStep,
    Reads,
    size,
)
from executions.plan.readers import Reader
from executions.plan.unwinding import steps_beside

_SHORTEST_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What rendering reads: runs of steps and frames by path, and `output`."""

    paths: frozenset[str] = frozenset()
    previous_output: bool = False
    errors: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedStep:
    """A step with its place and its parsed templates."""

    compiled: CompiledStep
    plan: Plan

    @cached_property
    def path(self) -> str:
        return paths.step_path(self.plan.frame, self.step.key)

    @property
    def step(self) -> Step:
        return self.compiled.step

    @property
    def ordinal(self) -> int:
        return self.compiled.ordinal

    @property
    def block(self) -> Block:
        return self.compiled.block

    @property
    def input(self) -> Template | None:
        return self.compiled.input

    @property
    def exports(self) -> Mapping[str, Template]:
        return self.compiled.exports

    @property
    def condition(self) -> Condition | None:
        return self.compiled.condition

    @property
    def role(self) -> str:
        return self.compiled.role

    @cached_property
    def before(self) -> Needs:
        """What deciding whether it runs takes, and on what."""
        return self.plan.needs(self.compiled.before)

    @cached_property
    def after(self) -> Needs:
        """What rendering its output mapping takes."""
        return self.plan.needs(self.compiled.after)

    @cached_property
    def ordinals_around(self) -> range:
        """The places of the top's block that it stands in; none after a failure."""
        key = self.path.partition("/")[0].partition("[")[0]
        around = self.plan.top.by_path.get(key)
        return around.block.ordinals if around else range(0)

    @property
    def is_batchable(self) -> bool:
        """
        Tell whether the step may be claimed before its turn comes.

        A tight time limit would be felt, and whoever may run but once must not be
        taken for begun. Another one's beginning may come first. What the engine does
        itself is claimed by nobody.
        """
        return (
            self.step.has_role
            and not self.step.at_most_once
            and self.step.milestone is None
            and self.step.timeout_ms >= _SHORTEST_MS
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """
    The steps of a body by path, in blocks, as the frame at `frame` runs them.

    At the top, where there is no `outer` plan, it is the whole version's, with its
    output template.
    """

    BESIDE: ClassVar[frozenset[str]] = frozenset({paths.UNWIND, paths.ROLLBACK})

    definition: Definition
    body: Body
    frame: str = paths.TOP
    outer: Plan | None = None
    output: Template | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.body.blocks

    @property
    def is_top(self) -> bool:
        return self.outer is None

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        return tuple(PlannedStep(compiled=one, plan=self) for one in self.body.compiled)

    @cached_property
    def by_path(self) -> Mapping[str, PlannedStep]:
        return {planned.path: planned for planned in self.steps}

    @cached_property
    def output_needs(self) -> Needs:
        return self.reading([self.output] if self.output else [])

    @property
    def container(self) -> PlannedStep:
        """The step that holds this body; LookupError at the top."""
        if self.outer is None:
            raise LookupError("The top is held by no step.")
        return self.outer.by_path[paths.container_of(self.frame)]

    def inside(self, container: PlannedStep, name: str | int) -> Plan:
        """Put the body that a step holds into the frame `name` of it."""
        bodies = container.compiled.bodies
        frame = paths.frame_path(container.path, name)
        if container.step.key == paths.UNDO:
            return self._undoing(bodies, frame, paths.undone(str(name)))
        body = bodies[ONLY_BODY if ONLY_BODY in bodies else str(name)]
        return Plan(definition=self.definition, body=body, frame=frame, outer=self)

    def _undoing(self, bodies: Mapping[str, Body], frame: str, undone: str) -> Plan:
        """Put what undoes a step where it sees what that step saw."""
        around = plan_at(self.top, paths.frame_of(undone))
        body = bodies[undone.rpartition("/")[2]]
        return Plan(definition=self.definition, body=body, frame=frame, outer=around)

    def beside(self, pseudo: str, name: str = "") -> Plan:
        """Put what is done after a failure beside the top."""
        return Plan(
            definition=self.definition,
            body=self._beside[pseudo],
            frame=paths.frame_path(pseudo, name),
            outer=self,
        )

    @cached_property
    def _beside(self) -> Mapping[str, Body]:
        first = size(self.definition.steps)
        return {
            pseudo: Body(steps=steps_beside(self.definition, pseudo), first=first)
            for pseudo in self.BESIDE
        }

    @property
    def is_beside(self) -> bool:
        """Tell whether these steps are what is done after a failure."""
        return paths.is_beside(self.frame)

    @property
    def top(self) -> Plan:
        """The plan of the whole version, that this one stands in."""
        return self if self.outer is None else self.outer.top

    def outwards(self) -> Iterator[Plan]:
        """Give this plan, and those of the frames around it up to the top."""
        plan: Plan | None = self
        while plan is not None:
            yield plan
            plan = plan.outer

    def find(self, path: str) -> PlannedStep | None:
        """Find a step of this frame or of one around it."""
        for plan in self.outwards():
            if found := plan.by_path.get(path):
                return found
        return None

    def inwards(
        self, named: Collection[str]
    ) -> Iterator[tuple[str, PlannedStep | None]]:
        """
        Put paths of steps and frames around here in order, from the top inwards.

        With each comes its step; None for a frame.
        """
        for plan in reversed(tuple(self.outwards())):
            if plan.frame in named:
                yield plan.frame, None
            here = (plan.by_path[path] for path in named if path in plan.by_path)
            for step in sorted(here, key=attrgetter("ordinal")):
                yield step.path, step

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

    def needs(self, reads: Reads) -> Needs:
        """Say where what templates name is to be read."""
        named = {path for key in reads.keys for path in self._made_at(key)}
        if reads.frame:
            named |= {plan.frame for plan in self.outwards() if not plan.is_top}
        return Needs(
            paths=frozenset(named),
            previous_output=reads.previous_output,
            errors=reads.errors,
        )

    def reading(self, readers: Iterable[Reader]) -> Needs:
        """Say what templates and conditions need that stand at the end of the body."""
        return self.needs(Reads.of(readers))

    def _made_at(self, name: str) -> Iterator[str]:
        for plan in self.outwards():
            for key in plan.body.makers.get(name, ()):
                yield paths.step_path(plan.frame, key)


def compile_plan(definition: Definition) -> Plan:
    """
    Parse what a definition's steps will render.

    A definition that was published has passed validation, so nothing is refused.
    """
    output = definition.output
    return Plan(
        definition=definition,
        body=Body(steps=definition.steps),
        output=None if output is None else Template.parse(output),
    )


def plan_at(top: Plan, frame: str) -> Plan:
    """Find the plan of a frame; LookupError when the version has no such body."""
    plan = top
    for key, name in paths.split(frame):
        if key in Plan.BESIDE:
            plan = plan.beside(key, name)
            continue
        container = plan.by_path[paths.step_path(plan.frame, key)]
        plan = plan.inside(container, name)
    return plan


def scope_of(context: Mapping[str, Any], output: Any, *, first: bool) -> dict[str, Any]:
    """
    Build what templates see; the first step has no previous output to see.

    What the frames around give is there by its name alone as well.
    """
    scope = {name: context[name] for name in FRAME_ROOTS & context.keys()}
    scope["context"] = context
    if not first:
        scope["output"] = output
    return scope
