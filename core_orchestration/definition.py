"""
What is to be done, as frozen value objects: the hinge of the house.

Interfaces validate users' JSON, `parse` turns it into these, publishing stores what
`to_json` gives, and the engine runs from them alone; nobody below the interfaces
walks database rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

from core_orchestration.keys import step_keys

OnError = Literal["fail", "continue"]

# Types whose nested steps form branches, and those whose nested steps are one body.
BRANCHING_TYPES = frozenset({"branch", "parallel"})
REPEATING_TYPES = frozenset({"loop", "map"})
# Done by the engine itself, without a body: those that end something, and those that
# wait.
MARKER_TYPES = frozenset({"break", "stop"})
WAITING_TYPES = frozenset({"approval", "orchestration", "wait"})
# Patterns of several roles, which are expanded into steps of the other types before
# they run, and the type that only their expansions have.
REASONING_TYPES = frozenset(
    {"debate", "map_reduce", "planner_executor_reviewer", "tree_of_thoughts", "vote"}
)
RECKONING_TYPE = "reckon"
_WITHOUT_ROLE = MARKER_TYPES | WAITING_TYPES | REASONING_TYPES | {RECKONING_TYPE}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One unit of an orchestration; the fields are the contract's, durations in ms."""

    key: str
    name: str
    description: str = ""
    order: int = 0
    step_type: str = "sequential"
    role_id: str | None = None
    role_name: str | None = None
    parallel_group: str | None = None
    condition: Mapping[str, Any] | None = None
    input_mapping: Any = None
    output_mapping: Mapping[str, Any] | None = None
    max_retries: int = 0
    retry_delay_ms: int = 1000
    retry_backoff: float = 1.0
    retry_max_delay_ms: int = 600_000
    retry_jitter: bool = False
    timeout_ms: int = 300_000
    total_timeout_ms: int | None = None
    queue_timeout_ms: int | None = None
    at_most_once: bool = False
    on_error: OnError = "fail"
    # Which branch of its parent's body the step belongs to; None: its own.
    branch: str | None = None
    # The key of the step that this one may not begin after.
    milestone: str | None = None
    # The role and the input of what undoes the step.
    compensate: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def has_role(self) -> bool:
        """Tell whether a role does the step, and not the engine itself."""
        return not self.steps and self.step_type not in _WITHOUT_ROLE

    @cached_property
    def branches(self) -> Mapping[str, tuple[Step, ...]]:
        """The bodies of a branching step, by name, in the order of their steps."""
        bodies: dict[str, list[Step]] = {}
        for inner in self.steps:
            bodies.setdefault(inner.branch or inner.key, []).append(inner)
        return {name: tuple(steps) for name, steps in bodies.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A single step, or the neighbouring steps of one parallel group."""

    index: int  # its place among the blocks
    start: int  # the ordinal of its first step among all steps
    steps: tuple[Step, ...]

    @property
    def is_group(self) -> bool:
        return self.steps[0].parallel_group is not None

    @property
    def is_walked(self) -> bool:
        """Tell whether it is a single step that a worker does for a role."""
        return not self.is_group and self.steps[0].has_role

    @property
    def ordinals(self) -> range:
        return range(self.start, self.start + len(self.steps))


@dataclass(frozen=True, kw_only=True)
class Definition:
    """
    A whole orchestration, its steps in the order in which they run.

    Those of `on_failure` run when it fails or times out; `limits` has what it allows
    an execution, where that is less than what the installation does.
    """

    steps: tuple[Step, ...]
    input_schema: Mapping[str, Any] | None = None
    timeout_ms: int | None = None
    output: Any = None
    on_failure: tuple[Step, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The steps, neighbours of one parallel group taken together."""
        return blocks_of(self.steps)


def blocks_of(steps: Sequence[Step]) -> tuple[Block, ...]:
    """Cut steps that run in this order into single steps and parallel groups."""
    blocks: list[Block] = []
    start = 0
    for (group, _), run in groupby(enumerate(steps), _group_or_own_place):
        members = tuple(step for _, step in run)
        assert group is not None or len(members) == 1  # noqa: S101
        blocks.append(Block(index=len(blocks), start=start, steps=members))
        start += len(members)
    return tuple(blocks)


def _group_or_own_place(numbered: tuple[int, Step]) -> tuple[str | None, int]:
    place, step = numbered
    return (step.parallel_group, -1 if step.parallel_group is not None else place)


STEP_FIELDS = tuple(each.name for each in fields(Step))
_STEP_FIELDS = frozenset(STEP_FIELDS)
_PLAIN_FIELDS = tuple(name for name in STEP_FIELDS if name != "steps")


def parse(document: Mapping[str, Any]) -> Definition:
    """
    Read an orchestration's JSON that has been validated, or a stored snapshot.

    Steps are sorted by `order`, which defaults to their position, counted from 0;
    keys default to names and names to keys. Fields that are not part of what is to
    be done (the orchestration's own name, tags, ...) are passed over.
    """
    sent, after = document.get("steps") or (), document.get("on_failure") or ()
    keys = iter(step_keys([*sent, *after]))
    return Definition(
        steps=_parse_steps(sent, keys),
        input_schema=document.get("input_schema"),
        timeout_ms=document.get("timeout_ms"),
        output=document.get("output"),
        on_failure=_parse_steps(after, keys),
        limits=document.get("limits") or {},
    )


def _parse_steps(
    sent: Sequence[Mapping[str, Any]], keys: Iterator[str]
) -> tuple[Step, ...]:
    steps = [_parse_step(step, place, keys) for place, step in enumerate(sent)]
    return tuple(sorted(steps, key=attrgetter("order")))


def _parse_step(sent: Mapping[str, Any], place: int, keys: Iterator[str]) -> Step:
    given = {name: value for name, value in sent.items() if name in _STEP_FIELDS}
    given["key"] = next(keys)
    given["name"] = given.get("name") or given["key"]
    given.setdefault("order", place)
    if "retry_backoff" in given:
        given["retry_backoff"] = float(given["retry_backoff"])
    if "steps" in given:
        given["steps"] = _parse_steps(given["steps"], keys)
    return Step(**given)


def to_json(definition: Definition) -> dict[str, Any]:
    """Write the snapshot that publishing stores; `parse` reads back an equal one."""
    return {
        "steps": [_step_json(step) for step in definition.steps],
        "input_schema": definition.input_schema,
        "timeout_ms": definition.timeout_ms,
        "output": definition.output,
        "on_failure": [_step_json(step) for step in definition.on_failure],
        "limits": definition.limits,
    }


def _step_json(step: Step) -> dict[str, Any]:
    written = {name: getattr(step, name) for name in _PLAIN_FIELDS}
    written["steps"] = [_step_json(inner) for inner in step.steps]
    return written
