"""
What an execution is made of: a version that can run, an input that fits, its roles.

Nothing is recorded here.
"""

from __future__ import annotations

from typing import Any

from uuid_utils.compat import uuid7

from core_orchestration import versions
from core_orchestration.definition import Definition
from core_orchestration.models import Orchestration
from core_orchestration.validation import Problem, check_input, storable_problems
from executions.models import Execution
from executions.plan import roles_named, unwinds
from executions.states import ExecutionStatus
from roles import snapshots
from roles.snapshots import Candidate, RoleUnavailable


class NotRunnable(Exception):
    """The orchestration cannot be started as it stands; the message says why."""


class InvalidInput(Exception):
    """The input does not fit the orchestration's input_schema."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


def runnable_version(orchestration: Orchestration) -> str:
    """Return the id of the version to run, or raise NotRunnable."""
    name = orchestration.name
    if not orchestration.is_active:
        raise NotRunnable(f"The orchestration {name!r} is not active.")
    if orchestration.archived_at is not None:
        raise NotRunnable(f"The orchestration {name!r} is archived.")
    if orchestration.published_id is None:
        raise NotRunnable(f"The orchestration {name!r} has no published version.")
    return str(orchestration.published_id)


def check(definition: Definition, given: Any) -> None:
    """Raise InvalidInput with all that is wrong with an input."""
    if problems := problems_of(definition, given):
        raise InvalidInput(problems)


def problems_of(definition: Definition, given: Any) -> list[Problem]:
    problems = storable_problems(given, "/input")
    return problems or check_input(definition.input_schema, given)


def pins_of(
    definition: Definition, orchestration: Orchestration, version: str
) -> dict[str, str]:
    def may_use(role: Candidate) -> bool:
        """Ask again: the name may have become that of somebody else's role."""
        if role.owner in (None, orchestration.created_by_id):
            return True
        return versions.publisher_sees(version, role.spec.id)

    try:
        return snapshots.pin(roles_named(definition), may_use=may_use)
    except RoleUnavailable as error:
        raise NotRunnable(str(error)) from error


def pending(
    orchestration: Orchestration, definition: Definition, given: Any, **more: Any
) -> Execution:
    """Make an execution that is still to be recorded."""
    return Execution(
        id=uuid7(),
        orchestration=orchestration,
        status=ExecutionStatus.PENDING.value,
        epoch=1,
        input=given,
        unwinds=unwinds(definition),
        **more,
    )
