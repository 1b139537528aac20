"""The words in which steps that hold a body decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from executions.plan.compiled import CompiledStep


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFrame:
    """A run of a body that is to be; `given` is what it gives to its steps."""

    name: str | int
    number: int
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedFrame:
    """What a frame came to; `broken` says that a `break` ended it."""

    name: str
    number: int
    completed: bool
    output: Any = None
    error: Mapping[str, Any] | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """
    The step ends: with an output, with an error, or skipped.

    `gathered` leaves the output to `gather`, which sees all frames. What is still open
    in its frames is cut.
    """

    output: Any = None
    error: Mapping[str, Any] | None = None
    skipped: bool = False
    gathered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What follows: frames to make, which of them to start, what to keep in mind.

    `start` holds frames by name. `note` is recorded as the step's input.
    """

    make: Sequence[NewFrame] = ()
    start: Sequence[str | int] = ()
    state: Mapping[str, Any] | None = None
    note: Any = None
    finish: Finish | None = None


class Fault(Exception):
    """What a template gave cannot be used; the message says what would be."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_
        self.message = message


class Scene(Protocol):
    """Where a step stands: its templates rendered, its conditions decided."""

    @property
    def execution_id(self) -> str:
        """The execution's id, as a text."""

    def render(self, name: str) -> Any:
        """Render a template of the step's config."""

    def beginning(self) -> Any:
        """Render the step's `input_mapping`."""

    def holds(self, name: str, values: Mapping[str, Any] | None = None) -> bool:
        """Decide a condition of the step's config, with values of a frame to come."""

    def holds_inside(self, frame: str, name: str) -> bool:
        """Decide a condition where a frame of the step has ended."""

    def done(self, keys: Sequence[str]) -> Sequence[tuple[str, Any]]:
        """
        List runs of the execution's steps with these keys, the last one first.

        Those that completed and were not undone before: each with its path and output.
        """


class Holder(Protocol):
    """How one type of step holds its body."""

    hears_outputs: bool

    def begin(self, step: CompiledStep, scene: Scene) -> Decision:
        """Say how it begins. Raises Fault, or TemplateRenderError."""

    def hear(
        self,
        step: CompiledStep,
        scene: Scene,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
    ) -> Decision:
        """Say what follows from frames that have ended, in the order of numbers."""

    def gather(
        self, step: CompiledStep, state: Mapping[str, Any], frames: Sequence[EndedFrame]
    ) -> Any:
        """Make the step's output of all of its frames, in the order of numbers."""


def begins_with(step: CompiledStep, scene: Scene) -> Mapping[str, Any]:
    """Say what a body begins with; nothing if that is what came before its step."""
    return {} if step.input is None else {"output": scene.beginning()}
