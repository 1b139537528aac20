"""Where a step stands that the engine does itself: what its templates see there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from executions import lifecycle, situation
from executions.lifecycle import Claim
from executions.plan import PlannedStep, scope_of
from executions.runs import run_of
from executions.signatures import Address
from executions.situation import Situation
from executions.states import StepStatus


@dataclass(slots=True, kw_only=True)
class Place:
    """A step in its execution; the scene of its decisions."""

    address: Address
    planned: PlannedStep
    known: Situation

    @property
    def execution_id(self) -> str:
        return self.address.execution

    @property
    def uuid(self) -> UUID:
        return UUID(self.address.execution)

    def render(self, name: str) -> Any:
        return self.planned.compiled.templates[name].render(self._scope())

    def beginning(self) -> Any:
        template = self.planned.input
        return None if template is None else template.render(self._scope())

    def holds(self, name: str, values: Mapping[str, Any] | None = None) -> bool:
        return self.planned.compiled.conditions[name].holds(self._scope(values))

    def holds_of(self, name: str, **roots: Any) -> bool:
        """Decide by a condition that sees more than the step does."""
        condition = self.planned.compiled.conditions[name]
        return condition.holds({**self._scope(), **roots})

    def holds_inside(self, frame: str, name: str) -> bool:
        inside = self.planned.plan.inside(self.planned, frame)
        condition = self.planned.compiled.conditions[name]
        needs = inside.reading([condition])
        situation.read_more(self.uuid, inside, needs, self.known)
        last = None
        if needs.previous_output:
            end = inside.blocks[-1]
            last = situation.output_after(self.uuid, inside, end, self.known)
        context = self.known.context(inside, needs)
        return condition.holds(scope_of(context, last, first=False))

    def is_due(self) -> bool:
        """Tell whether the step has waited long enough."""
        return self.planned.path in lifecycle.due_waits(self.uuid)

    def rest(self) -> None:
        """Note that the execution waits, if nothing else of it goes on."""
        lifecycle.rest(self.uuid, among=self.planned.ordinals_around)

    def output_before(self) -> Any:
        """Return what `output` means at the step."""
        plan, block = self.planned.plan, self.planned.block
        return situation.previous_output(self.uuid, plan, block, self.known)

    def done(self, keys: Sequence[str]) -> Sequence[tuple[str, Any]]:
        return lifecycle.done_runs(self.uuid, keys)

    def is_skipped(self) -> bool:
        condition = self.planned.condition
        return condition is not None and not condition.holds(self._scope())

    def _scope(self, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        plan, planned, known = self.planned.plan, self.planned, self.known
        situation.read_more(self.uuid, plan, planned.before, known)
        output = None
        if planned.before.previous_output:
            output = situation.previous_output(self.uuid, plan, planned.block, known)
        coming = dict(values or {})  # of a turn that is to be
        turn = coming.get("loop")
        if turn and turn["index"]:
            output = turn["last"]
        output = coming.pop("output", output)
        context = {**known.context(plan, planned.before), **coming}
        first = plan.is_top and planned.block.index == 0 and turn is None
        return scope_of(context, output, first=first)


def place(
    address: Address, planned: PlannedStep, *, paused_too: bool = False
) -> Place | None:
    """Read where a step stands; None when its turn is over, or not there yet."""
    known = situation.read_before(UUID(address.execution), planned.plan, planned)
    if known is None or known.epoch != address.epoch:
        return None
    if not known.goes_on and not (paused_too and known.status == "paused"):
        return None
    if not situation.is_ready(planned.plan, planned, known):
        return None
    return Place(address=address, planned=planned, known=known)


def hold(address: Address, planned: PlannedStep) -> tuple[Place, Claim] | None:
    """
    Hold a step that waits, with its execution's row; None if it waits no more.

    The caller's transaction holds both.
    """
    claim = lifecycle.hold(run_of(address, planned), was=StepStatus.WAITING)
    at = place(address, planned)
    return None if claim is None or at is None else (at, claim)
