"""Start executions: checked, recorded in PostgreSQL, then sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from core_orchestration import versions
from core_orchestration.definition import Definition
from core_orchestration.models import Orchestration
from core_orchestration.validation import Problem, check_input, storable_problems
from executions import dispatch, lifecycle, plans
from executions.announce import announce
from executions.models import Execution
from executions.plan import roles_named
from executions.signatures import Address
from executions.states import ExecutionStatus
from roles import snapshots
from roles.snapshots import RoleUnavailable

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class NotRunnable(Exception):
    """The orchestration cannot be started as it stands; the message says why."""


class InvalidInput(Exception):
    """The input does not fit the orchestration's input_schema."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


class IdempotencyConflict(Exception):
    """The Idempotency-Key was used before, with another orchestration or input."""


def launch(
    orchestration: Orchestration,
    input: Any,  # noqa: A002  (the contract's own word)
    *,
    by: AbstractBaseUser | None = None,
    idempotency_key: str | None = None,
) -> Execution:
    """
    Record an execution of the published version and send its first messages.

    With an idempotency key, a repeated request of one user gets the execution that
    the first one made (its `is_replay` is true). Raises NotRunnable, InvalidInput or
    IdempotencyConflict; then nothing was recorded.
    """
    if not orchestration.is_active:
        raise NotRunnable(f"The orchestration {orchestration.name!r} is not active.")
    if orchestration.archived_at is not None:
        raise NotRunnable(f"The orchestration {orchestration.name!r} is archived.")
    if orchestration.published_id is None:
        raise NotRunnable(
            f"The orchestration {orchestration.name!r} has no published version."
        )
    definition = versions.load(str(orchestration.published_id))
    _check(definition, input)
    execution = Execution(
        id=uuid7(),
        orchestration=orchestration,
        version_id=orchestration.published_id,
        status=ExecutionStatus.PENDING.value,
        epoch=1,
        input=input,
        role_pins=_pins(definition),
        created_by_id=by.pk if by else None,
        idempotency_key=idempotency_key,
    )
    if not lifecycle.create(
        execution, orchestration=orchestration, timeout_ms=definition.timeout_ms
    ):
        return _replayed(execution)
    _send(execution)
    return execution


def _check(definition: Definition, given: Any) -> None:
    problems = storable_problems(given, "/input")
    if not problems:
        problems = check_input(definition.input_schema, given)
    if problems:
        raise InvalidInput(problems)


def _pins(definition: Definition) -> dict[str, str]:
    try:
        return snapshots.pin(roles_named(definition))
    except RoleUnavailable as error:
        raise NotRunnable(str(error)) from error


def _replayed(wanted: Execution) -> Execution:
    """Return the execution that holds the key, if it is the same request."""
    first = Execution.objects.get(
        created_by=wanted.created_by_id, idempotency_key=wanted.idempotency_key
    )
    same = first.orchestration_id == wanted.orchestration_id
    if not same or first.input != wanted.input:
        raise IdempotencyConflict(
            f"The Idempotency-Key {wanted.idempotency_key!r} belongs to execution "
            f"{first.pk}, of another orchestration or input; choose a new key."
        )
    first.is_replay = True
    return first


def _send(execution: Execution) -> None:
    address = Address(
        execution=str(execution.pk), version=str(execution.version_id), epoch=1
    )
    plan = plans.load(address.version)
    dispatch.send(plan, 0, address, pins=execution.role_pins)
    announce(execution.pk)
