"""
Where executions stand: gathers from the record what `waiting` decides by.

The step whose turn it is may have no row yet; it follows from the plan, as the first
block with a step that is not settled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from core_orchestration.definition import Block
from executions import dispatch, fleet, pinned, questions, waiting
from executions.models import Execution, StepRun, Worker
from executions.paths import frame_of
from executions.plan import Plan, PlannedStep
from executions.questions import Questions
from executions.signatures import CONTROL_QUEUE
from executions.states import (
    TERMINAL_EXECUTION,
    TERMINAL_STEP,
    ExecutionStatus,
    StepStatus,
)
from executions.waiting import ExecutionFacts, Fleet, Kind, StepFacts, WaitingOn

# Of the steps whose turn it is, those of so many roles are looked at.
MOST_ROLES = 20
MOST_FRAMES = 20
_NEVER = 1 << 30
_TO_BE_SENT = (StepStatus.PENDING, StepStatus.RETRYING)
_LARGE = ("input", "output", "exports", "usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    What an execution waits for, and each of its step runs by its id.

    Those of them that ask people have a question, which has an id.
    """

    execution: WaitingOn | None = None
    steps: Mapping[UUID, WaitingOn] = field(default_factory=dict)
    questions: Mapping[UUID, UUID] = field(default_factory=dict)


def of(execution: Execution, plan: Plan, runs: Sequence[StepRun]) -> Standing:
    """Say what an execution with all of these runs waits for; nothing once it ended."""
    if execution.status in TERMINAL_EXECUTION:
        return Standing()
    asked = questions.of((plan, run) for run in runs)
    return _judged(execution, plan, runs, fleet.read(_owners(runs)), asked)


def stuck(limit: int) -> list[tuple[Execution, WaitingOn]]:
    """List the oldest executions that nobody works on, and what they wait for."""
    executions = list(_idle().order_by("id")[:limit])
    runs = _runs_of(executions)
    everybody = [run for each in runs.values() for run in each]
    now = fleet.read(_owners(everybody))
    plans = {each: pinned.plan(str(each.version_id)) for each in executions}
    asked = questions.of(
        (plan, run) for each, plan in plans.items() for run in runs[each.pk]
    )
    found = []
    for execution, plan in plans.items():
        own = runs[execution.pk]
        answer = _judged(execution, plan, own, now, asked).execution
        if answer and not _is_fresh(answer, now):
            found.append((execution, answer))
    return found


def _idle() -> QuerySet[Execution]:
    lives = Worker.objects.filter(pk=OuterRef("worker"), lease_until__gt=Now())
    worked_on = StepRun.objects.filter(
        Exists(lives), execution=OuterRef("pk"), status=StepStatus.RUNNING
    )
    idle = Execution.objects.active().filter(~Exists(worked_on))
    return idle.select_related("orchestration").defer("input")


def _runs_of(executions: Iterable[Execution]) -> Mapping[UUID, list[StepRun]]:
    runs: defaultdict[UUID, list[StepRun]] = defaultdict(list)
    rows = StepRun.objects.filter(
        execution__in=[each.pk for each in executions], cursor=None
    )
    for run in rows.order_by("ordinal", "path").defer(*_LARGE):
        runs[run.execution_id].append(run)
    return runs


def _owners(runs: Iterable[StepRun]) -> set[UUID]:
    return {
        run.worker for run in runs if run.status == StepStatus.RUNNING and run.worker
    }


def _is_fresh(answer: WaitingOn, now: Fleet) -> bool:
    """Tell whether a step lies in its queue only since a moment ago."""
    if answer.kind is not Kind.QUEUE or answer.since is None:
        return False
    return answer.since > now.now - waiting.PATIENCE


def _judged(
    execution: Execution,
    plan: Plan,
    runs: Sequence[StepRun],
    now: Fleet,
    asked: Questions,
) -> Standing:
    facts = ExecutionFacts(
        status=ExecutionStatus(execution.status),
        paused_at=execution.paused_at,
        cancel_request=execution.cancel_request,
        wake_at=execution.wake_at,
    )
    steps = _Steps(execution=execution, plan=plan, runs=runs, asked=asked)
    begun = {
        run.pk: steps.begun(run)
        for run in runs
        if not _is_settled(run.status) and not steps.holds_frames(run)
    }
    answers = {key: waiting.of_step(step, facts, now) for key, step in begun.items()}
    return Standing(
        execution=waiting.of_execution(
            facts, [*begun.values(), *steps.whose_turn_it_is()], now
        ),
        steps={key: answer for key, answer in answers.items() if answer},
        questions={run: each.id for run, each in asked.items() if run in begun},
    )


def _reason(planned: PlannedStep | None, run: StepRun) -> Mapping[str, str]:
    """Return why a role's step is parked."""
    has_role = planned is not None and planned.step.has_role
    return (run.state or {}) if has_role else {}


def _is_settled(status: str) -> bool:
    return status in TERMINAL_STEP


@dataclass(slots=True, kw_only=True)
class _Steps:
    """The facts of one execution's steps; the pool of a role is asked for once."""

    execution: Execution
    plan: Plan
    runs: Sequence[StepRun]
    asked: Questions
    pools: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def begun(self, run: StepRun) -> StepFacts:
        """Picture a step that has a row."""
        status, asked = StepStatus(run.status), self.asked.get(run.pk)
        since = run.started_at
        queues: tuple[str, ...] = ()
        planned = self._planned(run.path)
        reason = _reason(planned, run)
        if planned and status in _TO_BE_SENT:
            since = self._began(planned.plan, planned.block)
            queues = self._pool(planned)
        return StepFacts(
            key=run.key,
            status=status,
            since=since,
            queues=queues,
            attempt=run.attempt,
            worker=run.worker,
            attempt_deadline=run.attempt_deadline,
            retry_at=run.retry_at,
            error=(run.error or {}).get("message"),
            asked=asked.asked if asked else None,
            event=run.awaits,
            parked=reason.get("parked"),
            detail=reason.get("detail", ""),
        )

    def holds_frames(self, run: StepRun) -> bool:
        """Tell whether a step waits for its frames, which say themselves for what."""
        planned = self._planned(run.path)
        waits = run.status == StepStatus.WAITING
        return waits and planned is not None and bool(planned.compiled.bodies)

    def whose_turn_it_is(self) -> Iterator[StepFacts]:
        """Picture the steps without a row that come next, at the top and in frames."""
        rows = {run.path for run in self.runs}
        settled = {run.path for run in self.runs if _is_settled(run.status)}
        if self.execution.unwinding is None:
            yield from self._turn_of(self.plan, self.execution.cursor, rows, settled)
        for frame, cursor in self._open_frames():
            plan = pinned.plan_in(str(self.execution.version_id), frame)
            yield from self._turn_of(plan, cursor, rows, settled)

    def _turn_of(
        self, plan: Plan, cursor: int, rows: Set[str], settled: Set[str]
    ) -> Iterator[StepFacts]:
        """Picture those of one frame, one of each role."""
        block = plan.first_open(settled, start=cursor)
        began = self._began(plan, block)
        if block is None:
            yield StepFacts(key=None, since=began, queues=(CONTROL_QUEUE,))
            return
        absent = [each for each in plan.of_block(block) if each.path not in rows]
        by_role = {each.role: each for each in reversed(absent)}
        for planned in by_role.values():
            queues = (*self._way_to(plan, block, cursor), *self._pool(planned))
            yield StepFacts(key=planned.step.key, since=began, queues=queues)

    def _open_frames(self) -> Iterator[tuple[str, int]]:
        """Read the first of the frames that are open, if there can be any."""
        if not any(self.holds_frames(run) for run in self.runs):
            return
        frames = StepRun.objects.filter(
            execution=self.execution, status=StepStatus.WAITING, cursor__isnull=False
        )
        for frame in frames.order_by("ordinal", "path").only("path", "cursor")[
            :MOST_FRAMES
        ]:
            yield frame.path, frame.cursor or 0

    def _planned(self, path: str) -> PlannedStep | None:
        version = str(self.execution.version_id)
        try:
            return pinned.plan_in(version, frame_of(path)).by_path.get(path)
        except LookupError:
            return None

    def _began(self, plan: Plan, block: Block | None) -> datetime:
        """Tell since when it is a block's turn; re-sending does not start it anew."""
        first = plan.of_block(block)[0].ordinal if block else _NEVER
        ends = [
            run.finished_at
            for run in self.runs
            if run.ordinal < first and frame_of(run.path) == plan.frame
        ]
        sent = None if self.execution.resends else self.execution.dispatched_at
        return max(filter(None, [self.execution.created_at, sent, *ends]))

    def _way_to(self, plan: Plan, block: Block, cursor: int) -> tuple[str, ...]:
        """Name the queue before the steps' own, where a group begins or has ended."""
        if cursor >= block.index:
            return ()
        before = plan.blocks[block.index - 1]
        return (CONTROL_QUEUE,) if block.is_group or before.is_group else ()

    def _pool(self, planned: PlannedStep) -> tuple[str, ...]:
        if not planned.step.has_role:
            return (CONTROL_QUEUE,)
        if planned.role not in self.pools and len(self.pools) < MOST_ROLES:
            self.pools[planned.role] = self._pool_of(planned)
        return self.pools.get(planned.role, ())

    def _pool_of(self, planned: PlannedStep) -> tuple[str, ...]:
        """Ask the step's runner; without its role or kind there is no telling."""
        try:
            return (dispatch.pool_of(planned, pins=self.execution.role_pins),)
        except (LookupError, ObjectDoesNotExist):
            return ()
