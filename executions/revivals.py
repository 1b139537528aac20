"""
What of an execution is to be done again, when it ended badly.

Steps that failed for good or were cut off run again; so do the frames that ended with
them, and the steps that hold those. What had completed stays, and so do the failures
that somebody had allowed for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch
from executions.lifecycle import Again
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.paths import TOP, container_of, frame_of
from executions.plan import Plan, find_step
from executions.states import StepStatus

_CUT = frozenset({StepStatus.CANCELLED, StepStatus.NEEDS_ATTENTION})
_FAILED = frozenset({StepStatus.FAILED, StepStatus.TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A step run that did not complete, or any frame."""

    path: str
    status: StepStatus
    number: int | None = None  # of a frame
    began: bool = True
    heard: bool | None = None
    child: UUID | None = None  # the execution that the step ran


@dataclass(slots=True, kw_only=True)
class Revival:
    """What is to change, by path; `states` are what containers are to count."""

    steps: set[str] = field(default_factory=set)
    states: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reopened: set[str] = field(default_factory=set)  # frames
    unheard: set[str] = field(default_factory=set)  # ends to be heard once more
    children: set[UUID] = field(default_factory=set)  # executions to be retried, too

    @property
    def again(self) -> Again:
        """Spell it as the record takes it."""
        return Again(
            steps=self.steps,
            containers=self.states,
            reopened=self.reopened,
            unheard=self.unheard,
            children=self.children,
        )

    @property
    def paths(self) -> set[str]:
        """Every step that is not settled any more."""
        return self.steps | self.states.keys()


_ENDED_RUNS: LiteralString = """
SELECT s.path, s.status, s.number, s.started_at IS NOT NULL, s.heard,
  (s.state->>'execution_id')::uuid
FROM executions_steprun s
WHERE s.execution_id = %(execution)s AND {bounded} AND (s.cursor IS NOT NULL
  OR s.status IN ('failed', 'timed_out', 'cancelled', 'needs_attention'))
"""
_ENDED = _ENDED_RUNS.format(bounded=BOUNDED)


def ended_runs(execution_id: UUID) -> list[Ended]:
    """Read the step runs of an execution that did not complete, and its frames."""
    rows = fetch(_ENDED, {"execution": execution_id, **bounds(execution_id)})
    return [
        Ended(
            path=path,
            status=StepStatus(status),
            number=number,
            began=began,
            heard=heard,
            child=child,
        )
        for path, status, number, began, heard, child in rows
    ]


def decide(plan: Plan, ended: Iterable[Ended]) -> Revival:
    """Say what is to be done again of a version's execution."""
    return _Decision(plan, ended).made()


class _Decision:
    def __init__(self, plan: Plan, ended: Iterable[Ended]) -> None:
        self._plan = plan
        self._steps: defaultdict[str, list[Ended]] = defaultdict(list)
        self._frames: defaultdict[str, list[Ended]] = defaultdict(list)
        for each in ended:
            if each.number is None:
                self._steps[frame_of(each.path)].append(each)
            else:
                self._frames[container_of(each.path)].append(each)
        self._revival = Revival()

    def made(self) -> Revival:
        self._enter(TOP)
        return self._revival

    def _enter(self, frame: str) -> None:
        for run in self._steps[frame]:
            if not self._is_to_do_again(run):
                continue
            if run.child is not None:
                self._revival.states[run.path] = {}
                self._revival.children.add(run.child)
            elif frames := self._frames[run.path]:
                self._hold(run, frames)
            else:
                self._revival.steps.add(run.path)

    def _is_to_do_again(self, run: Ended) -> bool:
        if run.status in _CUT:
            return True
        step = find_step(self._plan, run.path)
        return run.status in _FAILED and (step is None or step.on_error == "fail")

    def _hold(self, run: Ended, frames: Sequence[Ended]) -> None:
        again = list(_reopened(run, frames))
        self._revival.reopened |= {frame.path for frame in again}
        heard = [f for f in frames if f.heard and f not in again]
        if not again and not _is_unheard(frames):
            last = max(frames, key=lambda frame: frame.number or 0)
            self._revival.unheard.add(last.path)
            heard = [frame for frame in heard if frame is not last]
        self._revival.states[run.path] = _counted(frames, heard)
        for frame in again:
            self._enter(frame.path)


def _reopened(container: Ended, frames: Sequence[Ended]) -> Iterator[Ended]:
    """List the frames to go on with; a failure ended only a container that failed."""
    fatal = container.status in _FAILED
    for frame in frames:
        if frame.status in _CUT or (fatal and frame.status in _FAILED):
            yield frame


def _is_unheard(frames: Sequence[Ended]) -> bool:
    return any(frame.heard is False for frame in frames)


def _counted(frames: Sequence[Ended], heard: Sequence[Ended]) -> Mapping[str, int]:
    """Count anew what a container keeps in mind of its frames."""
    return {
        "started": sum(frame.began for frame in frames),
        "completed": sum(frame.status == StepStatus.COMPLETED for frame in heard),
        "failed": sum(frame.status in _FAILED for frame in heard),
    }
