"""What every step can see: the names made before it in its body, and around that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .placed import Lists, Placed
from .sequence import blocks

ROOTS = frozenset({"context", "output"})
# What is there only inside a body: as a root, and as a name of the context.
ROOTS_WITHIN: Mapping[str, frozenset[str]] = {
    "loop": frozenset({"loop"}),
    "map": frozenset({"item", "index"}),
}
HOME_OF_ROOT = {root: kind for kind, roots in ROOTS_WITHIN.items() for root in roots}
# What is made in `steps` is there before the first block of `on_failure`.
_BEFORE = -1


@dataclass(slots=True, kw_only=True, eq=False)
class Body:
    """
    Steps that run in a row, and when each of their names comes to be, in blocks.

    A step of block `t` may read what was made in a block before `t`, and what the
    step that holds the body could read where it stands.
    """

    outer: Place | None = None
    roots: frozenset[str] = ROOTS
    made: dict[str, int] = field(default_factory=dict)
    blocks: int = 0

    @property
    def holder(self) -> Placed | None:
        return self.outer.step if self.outer else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """
    Where a reference stands; without a step, it is after all of the body.

    `also` has names that are there beside those made in the blocks before.
    """

    step: Placed | None
    body: Body
    block: int
    roots: frozenset[str]
    has_output: bool
    also: frozenset[str] = frozenset()

    def levels(self) -> Iterator[Place]:
        """Yield the place and, going outwards, those of the steps that hold it."""
        place: Place | None = self
        while place is not None:
            yield place
            place = place.body.outer

    def after_step(self) -> Place:
        """Return the place right after the step, where its own names are there."""
        step = self.step
        own = {step.key, *step.get("output_mapping", ())} if step else frozenset()
        return replace(self, has_output=True, also=self.also | own)


@dataclass(slots=True, kw_only=True)
class Timetable:
    """
    All bodies of a document: where its steps stand, and who makes which name.

    `top` is the body of `steps`, and `last` that of `on_failure`.
    """

    top: Body = field(default_factory=Body)
    last: Body = field(default_factory=Body)
    starts: list[Place] = field(default_factory=list)
    bodies: dict[Placed, list[Body]] = field(default_factory=dict)
    makers: dict[str, Body] = field(default_factory=dict)
    steps: dict[str, Placed] = field(default_factory=dict)

    def end_of(self, body: Body) -> Place:
        """Return the place after the last step of a body."""
        return Place(
            step=None,
            body=body,
            block=body.blocks,
            roots=body.roots,
            has_output=True,
        )

    def is_last(self, body: Body) -> bool:
        """Tell whether a body is that of `on_failure`, or inside of it."""
        while body.outer is not None:
            body = body.outer.body
        return body is self.last

    def turn_end(self, place: Place) -> Place:
        """Return the place at the end of a turn of the loop that stands here."""
        for body in self.bodies.get(place.step, ()) if place.step else ():
            return self.end_of(body)
        return replace(place, roots=place.roots | ROOTS_WITHIN["loop"])


def timetable(lists: Lists) -> Timetable:
    table = Timetable()
    _enter(lists.steps, table.top, table)
    table.last.made.update(dict.fromkeys(table.top.made, _BEFORE))
    _enter(lists.on_failure, table.last, table)
    return table


def _enter(steps: tuple[Placed, ...], body: Body, table: Timetable) -> None:
    for block in blocks(steps):
        for step in block:
            place = Place(
                step=step,
                body=body,
                block=body.blocks,
                roots=body.roots,
                has_output=body.blocks > 0 or body.outer is not None,
            )
            table.starts.append(place)
            _enter_bodies(step, place, table)
            _note_names(step, body, table)
        body.blocks += 1


def _enter_bodies(step: Placed, place: Place, table: Timetable) -> None:
    within = ROOTS_WITHIN.get(step.step_type, frozenset())
    for steps in step.bodies:
        body = Body(outer=place, roots=place.roots | within)
        table.bodies.setdefault(step, []).append(body)
        _enter(steps, body, table)


def _note_names(step: Placed, body: Body, table: Timetable) -> None:
    for name in (step.key, *step.get("output_mapping", ())):
        body.made.setdefault(name, body.blocks)
        table.makers.setdefault(name, body)
    table.steps.setdefault(step.key, step)
