"""The open questions of step runs that ask people, as `waiting` sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from executions.lifecycle import STEERING, People
from executions.models import Approval, StepRun
from executions.plan import Plan, find_step
from executions.states import StepStatus
from executions.waiting import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question's id, and of whom it is asked."""

    id: UUID
    asked: Asked


Questions = Mapping[UUID, OpenQuestion]  # by the step runs that ask


def of(runs: Iterable[tuple[Plan, StepRun]]) -> Questions:
    """Read what step runs ask: all at once, and only if any of them asks."""
    asking = [run.pk for plan, run in runs if _asks(plan, run)]
    if not asking:
        return {}
    rows = Approval.objects.filter(step_run__in=asking, decision=None)
    return {
        row.step_run: OpenQuestion(id=row.pk, asked=_asked(row))
        for row in rows.defer("prompt", "form")
    }


def _asks(plan: Plan, run: StepRun) -> bool:
    if run.status != StepStatus.WAITING:
        return False
    if run.state and run.state.get("parked") == "approval":
        return True
    step = find_step(plan, run.path)
    return step is not None and step.step_type == "approval"


def _asked(row: Approval) -> Asked:
    people = People(users=row.users, groups=row.groups, permission=row.permission)
    words = people.permissions
    return Asked(
        users=people.users,
        groups=people.groups,
        permissions=[word for word in words if word != STEERING],
        steering=STEERING in words,
        since=row.asked_at,
        until=row.expires_at,
    )
