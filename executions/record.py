"""Executions as clients read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist

from core_orchestration.definition import Step
from executions import pinned, standing
from executions.models import Execution, StepRun
from executions.output import from_context
from executions.paths import undoes
from executions.plan import Plan, find_step, rank
from executions.situation import Row, Situation
from executions.spending import exchanges, reports
from executions.spending.reports import StepSpending
from executions.spending.usage import together
from executions.standing import Standing
from executions.states import StepStatus
from roles.references import reference

_NOWHERE = Standing()
_NOTHING: Mapping[UUID, StepSpending] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agents:
    """What the agents of an execution took and did, by step run."""

    spent: Mapping[UUID, StepSpending]
    calls: Mapping[UUID, list[Any]]

    @classmethod
    def of(cls, execution_id: UUID, spent: Mapping[UUID, StepSpending]) -> _Agents:
        calls = exchanges.calls_of(execution_id) if spent else {}
        return cls(spent=spent, calls=calls)


def detail(
    execution: Execution, runs: Sequence[StepRun] | None = None
) -> dict[str, Any]:
    """
    Return an execution with context, step logs and usage, as the contract has it.

    `runs` are its step runs, where they are known. Two queries at most: the
    execution's version is kept in memory, and its step runs are read at once. While it
    is under way, a few more tell what it waits for; and two more what agents have spent
    and done, if there can be any.
    """
    plan = pinned.plan(str(execution.version_id))
    if runs is None:
        runs = list(execution.step_runs.filter(cursor=None))
    runs = in_order(plan, runs)
    context = _context(execution, plan, runs)
    stands = standing.of(execution, plan, runs)
    spent = (
        reports.of_steps(execution.pk) if _may_have_spent(execution, plan, runs) else {}
    )
    output = execution.output
    has_own = plan.output is not None or output is not None or _is_stopped(plan, runs)
    if execution.status == "completed" and not has_own:
        output = from_context(context)
    return summary(execution) | {
        "input": execution.input,
        "context": context,
        "output": output,
        "step_logs": _step_logs(plan, runs, stands, _Agents.of(execution.pk, spent)),
        "usage": total_usage(runs, spent),
        "waiting_on": stands.execution and asdict(stands.execution),
    }


def _is_stopped(plan: Plan, runs: Sequence[StepRun]) -> bool:
    """Tell whether a `stop` with an output of its own ended an execution."""
    stops = (
        find_step(plan, run.path)
        for run in runs
        if run.status == StepStatus.COMPLETED and not run.role_name
    )
    return any(
        step and step.step_type == "stop" and "output" in step.config for step in stops
    )


_WITHOUT_CALLS = (StepStatus.PENDING, StepStatus.COMPLETED, StepStatus.SKIPPED)
_MOST_ROLES = 20


def _may_have_spent(execution: Execution, plan: Plan, runs: Sequence[StepRun]) -> bool:
    """
    Tell whether a step run has usage, or is an agent's that has not completed.

    Roles are kept in memory; the ledger is asked sooner than for very many of them.
    """
    if any(run.usage for run in runs):
        return True
    begun = {
        run.role_name: run
        for run in runs
        if run.role_name and run.status not in _WITHOUT_CALLS
    }
    if len(begun) > _MOST_ROLES:
        return True
    steps = (find_step(plan, run.path) for run in begun.values())
    return any(step and _is_agents(execution, step) for step in steps)


def _is_agents(execution: Execution, step: Step) -> bool:
    named = reference(role_id=step.role_id, role_name=step.role_name)
    snapshot = execution.role_pins.get(named)
    try:
        return snapshot is not None and pinned.role(snapshot).kind == "agent"
    except ObjectDoesNotExist:
        return True


def _step_logs(
    plan: Plan,
    runs: Sequence[StepRun],
    stands: Standing,
    agents: _Agents,
) -> list[dict[str, Any]]:
    undoing = {undoes(run.path): run.status for run in runs}
    return [
        step_log(run, plan, stands, agents.spent)
        | {
            "compensation": undoing.get(run.path),
            "calls": agents.calls.get(run.pk, []),
        }
        for run in runs
    ]


def summary(execution: Execution) -> dict[str, Any]:
    """Return what lists show of an execution; its orchestration must be at hand."""
    return {
        "id": str(execution.pk),
        "orchestration_id": str(execution.orchestration_id),
        "orchestration_name": execution.orchestration.name,
        "version": execution.version.number,
        "status": execution.status,
        "error": execution.error,
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "duration_ms": duration_ms(execution.started_at, execution.finished_at),
        "created_by": execution.created_by.get_username()
        if execution.created_by
        else None,
        "parent_execution_id": str(execution.parent_execution_id)
        if execution.parent_execution_id
        else None,
        "origin": execution.origin and {"from_step": None, **execution.origin},
    }


def step_log(
    run: StepRun,
    plan: Plan,
    stands: Standing = _NOWHERE,
    spent: Mapping[UUID, StepSpending] = _NOTHING,
) -> dict[str, Any]:
    """Return a step run as a row of `step_logs`; `spent` is its execution's ledger."""
    step = find_step(plan, run.path)
    waiting_on, question = stands.steps.get(run.pk), stands.questions.get(run.pk)
    return {
        "id": str(run.pk),
        "step_key": run.key,
        "step_name": step.name if step else run.key,
        "path": run.path,
        "role_name": run.role_name,
        "status": run.status,
        "attempt": run.attempt,
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": duration_ms(run.started_at, run.finished_at),
        "usage": _usage(run, spent.get(run.pk)),
        "model_choice": (spent[run.pk].choice or None) if run.pk in spent else None,
        "calls": [],
        "waiting_on": waiting_on and asdict(waiting_on),
        "approval_id": str(question) if question else None,
        "compensation": None,
    }


def in_order(plan: Plan, runs: Iterable[StepRun]) -> list[StepRun]:
    """Sort step runs as their steps stand, those of a body behind the step's."""
    return sorted(runs, key=lambda run: rank(plan, run.path))


def _usage(run: StepRun, spent: StepSpending | None) -> dict[str, Any] | None:
    """Return what a step run's role said of it; what the ledger has counts."""
    usage: dict[str, Any] | None = run.usage
    return usage if spent is None else (usage or {}) | spent.usage.shown()


def total_usage(
    runs: Iterable[StepRun], spent: Mapping[UUID, StepSpending] = _NOTHING
) -> dict[str, Any]:
    """Add up the numbers in the usage of all steps, and what the ledger has of them."""
    total: Counter[str] = Counter()
    for run in runs:
        numbers = (run.usage or {}).items() if run.pk not in spent else ()
        total.update({k: v for k, v in numbers if isinstance(v, int | float)})
    if not spent:
        return dict(total)
    shown = together(each.usage for each in spent.values()).shown()
    total.update({k: v for k, v in shown.items() if isinstance(v, int)})
    return dict(total) | {"cost": shown["cost"]}


def duration_ms(start: datetime | None, end: datetime | None) -> int | None:
    """Return whole milliseconds from start to end; None while either is open."""
    if start is None or end is None:
        return None
    return round((end - start).total_seconds() * 1000)


def _context(
    execution: Execution, plan: Plan, runs: Sequence[StepRun]
) -> dict[str, Any]:
    known = Situation(
        status=execution.status,
        cancelling=execution.cancel_request is not None,
        epoch=execution.epoch,
        cursor=execution.cursor,
        role_pins=execution.role_pins,
        input=execution.input,
        rows={
            run.path: Row(StepStatus(run.status), run.output, run.exports, run.error)
            for run in runs
            if run.path in plan.by_path
        },
    )
    return known.whole_context(plan)
