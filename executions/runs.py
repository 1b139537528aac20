"""A step's run as a claim or an ending will write it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from executions.identity import step_run_id
from executions.lifecycle import NewRun
from executions.plan import PlannedStep
from executions.signatures import Address

NOBODY = UUID(int=0)


def frame_id(execution_id: UUID, planned: PlannedStep) -> UUID | None:
    """Name the run of the frame that a step stands in; None at the top."""
    frame = planned.plan.frame
    return step_run_id(execution_id, frame) if frame else None


def run_of(
    address: Address,
    planned: PlannedStep,
    *,
    role_name: str = "",
    worker: UUID = NOBODY,
    given: Any = None,
) -> NewRun:
    """Describe the run of a step; its input, where it is not `given`, is left out."""
    execution_id = UUID(address.execution)
    step = planned.step
    return NewRun(
        id=step_run_id(execution_id, planned.path),
        execution_id=execution_id,
        epoch=address.epoch,
        ordinal=planned.ordinal,
        path=planned.path,
        key=step.key,
        role_name=role_name,
        worker=worker,
        input=given,
        timeout_ms=step.timeout_ms,
        total_timeout_ms=step.total_timeout_ms,
        durable=step.at_most_once,
        frame=frame_id(execution_id, planned),
    )
