"""
New executions made from old ones: run again, or forked from one of the steps.

Both pin the roles as they are now, which is what somebody wants who has mended one.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core_orchestration.models import OrchestrationVersion
from executions import pinned, situation
from executions.launch import Beginning, launch
from executions.models import Execution
from executions.plan import Plan, PlannedStep
from executions.situation import Row, Situation
from executions.states import StepStatus

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED: Final = _Unchanged.UNCHANGED


class NotCopyable(Exception):
    """The execution cannot be forked or run again so; the message says why."""

    code = "not_copyable"


def rerun(
    execution: Execution,
    *,
    by: AbstractBaseUser | None,
    input: Any = UNCHANGED,  # noqa: A002  (the contract's own word)
    version: int | None = None,
    idempotency_key: str | None = None,
) -> Execution:
    """
    Run an execution's orchestration again, with its input and version or others.

    Raises NotCopyable for a version that there is not, and what `launch` raises.
    """
    return launch(
        execution.orchestration,
        execution.input if input is UNCHANGED else input,
        by=by,
        idempotency_key=idempotency_key,
        beginning=Beginning(
            version=_version_of(execution, version),
            origin={
                "kind": "rerun",
                "execution_id": str(execution.pk),
                "from_step": None,
            },
        ),
    )


def fork(
    execution: Execution,
    *,
    from_step: str,
    by: AbstractBaseUser | None,
    input: Any = UNCHANGED,  # noqa: A002
    version: int | None = None,
    idempotency_key: str | None = None,
) -> Execution:
    """
    Start a new execution that goes on from a step as if it had come so far itself.

    The outcomes of everything before `from_step` are copied, and those of the other
    members of its parallel group where they are finished; `from_step` and what comes
    after it run. In another `version` the steps are found by their keys. Raises
    NotCopyable when something before the step is not finished, and what `launch`
    raises.
    """
    target = _version_of(execution, version)
    plan = pinned.plan(target)
    known = situation.read_all(execution.pk, pinned.plan(str(execution.version_id)))
    planned = plan.by_path.get(from_step)
    if planned is None or known is None:
        keys = ", ".join(plan.by_path)
        raise NotCopyable(f"There is no step {from_step!r}; there are: {keys}.")
    return launch(
        execution.orchestration,
        execution.input if input is UNCHANGED else input,
        by=by,
        idempotency_key=idempotency_key,
        beginning=Beginning(
            version=target,
            origin={
                "kind": "fork",
                "execution_id": str(execution.pk),
                "from_step": from_step,
            },
            block=planned.block.index,
            source=execution.pk,
            copied=_finished_before(plan, planned, known),
        ),
    )


def _finished_before(
    plan: Plan, planned: PlannedStep, known: Situation
) -> dict[str, int]:
    """Map the steps to copy, by path, to their places in the new plan."""
    places = {}
    for step in plan.steps:
        if step.block.index > planned.block.index or step is planned:
            continue
        row = known.rows.get(step.path)
        if row is not None and _is_finished(step, row):
            places[step.path] = step.ordinal
        elif step.block is not planned.block:
            state = row.status.value if row else "not begun"
            raise NotCopyable(
                f"The step {step.path!r} comes before {planned.path!r} and is {state}; "
                "fork from it or from a step before it."
            )
    return places


def _is_finished(step: PlannedStep, row: Row) -> bool:
    """Tell whether an execution goes on after this outcome."""
    if row.status in (StepStatus.FAILED, StepStatus.TIMED_OUT):
        return step.step.on_error == "continue"
    return row.status in (StepStatus.COMPLETED, StepStatus.SKIPPED)


def _version_of(execution: Execution, number: int | None) -> str:
    if number is None:
        return str(execution.version_id)
    versions = OrchestrationVersion.objects.filter(
        orchestration_id=execution.orchestration_id, number=number
    )
    found: UUID | None = versions.values_list("pk", flat=True).first()
    if found is None:
        raise NotCopyable(f"The orchestration has no version {number}.")
    return str(found)
