"""Start executions: checked, recorded in PostgreSQL, then sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from core_orchestration.definition import Definition
from core_orchestration.models import Orchestration
from executions import dispatch, lifecycle, pinned, resumption, trail
from executions.ancestry import Parent, admit
from executions.announce import announce
from executions.creation import (
    InvalidInput,
    NotRunnable,
    check,
    pending,
    pins_of,
    problems_of,
    runnable_version,
)
from executions.database import one_transaction
from executions.models import Execution
from executions.signatures import Address
from executions.spending.allot import allot
from roles.acting import actor
from roles.schemas.values import same

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


__all__ = [
    "Beginning",
    "IdempotencyConflict",
    "InvalidInput",
    "NotRunnable",
    "Parent",
    "launch",
    "launch_many",
]


class IdempotencyConflict(Exception):
    """The Idempotency-Key was used before, with another orchestration or input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """
    Where an execution begins that does not begin at the beginning.

    It runs `version` (an id) in place of the published one, from `block` on, with
    the outcomes of the steps at `copied` (from paths to ordinals) taken from the
    execution `source`; `origin` is kept with it.
    """

    version: str
    origin: Mapping[str, str | None]
    block: int = 0
    source: UUID | None = None
    copied: Mapping[str, int] = field(default_factory=dict)


def launch(
    orchestration: Orchestration,
    input: Any,  # noqa: A002  (the contract's own word)
    *,
    by: AbstractBaseUser | None = None,
    idempotency_key: str | None = None,
    beginning: Beginning | None = None,
    parent: Parent | None = None,
) -> Execution:
    """
    Record an execution of the published version and send its first messages.

    With an idempotency key, a repeated request of one user gets the execution that
    the first one made (its `is_replay` is true). Raises NotRunnable, InvalidInput,
    IdempotencyConflict or, below a `parent`, what `ancestry.admit` raises; then nothing
    was recorded.
    """
    request = _Request(
        orchestration, input, _key_of(by), idempotency_key, beginning, parent
    )
    if first := request.made_before():
        return first
    version = runnable_version(orchestration)
    if beginning:
        version = beginning.version
    definition = pinned.plan(version).definition
    check(definition, input)
    execution = pending(
        orchestration,
        definition,
        input,
        version_id=UUID(version),
        role_pins=pins_of(definition, orchestration, version),
        created_by_id=request.user,
        cursor=beginning.block if beginning else 0,
        idempotency_key=idempotency_key,
        origin=request.origin,
        **_descent(parent),
    )
    if _create(execution, definition, beginning, parent):
        _send(execution, goes_on=beginning is not None and bool(beginning.source))
        return execution
    # The key is taken by now, or was: its holder may have been deleted just here.
    return request.made_before() or launch(
        orchestration,
        input,
        by=by,
        idempotency_key=idempotency_key,
        beginning=beginning,
        parent=parent,
    )


def launch_many(
    orchestration: Orchestration,
    inputs: Sequence[Any],
    *,
    by: AbstractBaseUser | None = None,
) -> list[Execution]:
    """
    Record an execution per input, in one statement, and send their first messages.

    All or none: raises NotRunnable, or InvalidInput with the problems of each input
    below `/inputs/<index>`; then nothing was recorded.
    """
    version = runnable_version(orchestration)
    definition = pinned.plan(version).definition
    _check_all(definition, inputs)
    if not inputs:
        return []
    pins = pins_of(definition, orchestration, version)
    executions = [
        pending(
            orchestration,
            definition,
            given,
            version_id=UUID(version),
            role_pins=pins,
            created_by_id=_key_of(by),
            **_descent(None),
        )
        for given in inputs
    ]
    lifecycle.create_many(executions, timeout_ms=definition.timeout_ms)
    _send_all(version, executions)
    return executions


def _key_of(user: AbstractBaseUser | None) -> int | None:
    return user.pk if user else None


def _descent(parent: Parent | None) -> dict[str, Any]:
    """Say below what an execution stands, and for which API key it spends."""
    if parent is None:
        return {"api_key_id": actor().api_key_id}
    return {
        "api_key_id": parent.api_key_id,
        "parent_execution_id": parent.execution,
        "parent_path": parent.path,
        "awaited": False,
        "depth": parent.depth,
    }


def _create(
    execution: Execution,
    definition: Definition,
    beginning: Beginning | None,
    parent: Parent | None,
) -> bool:
    if beginning is None and parent is None:
        return lifecycle.create(execution, timeout_ms=definition.timeout_ms)
    with one_transaction():
        if parent:
            admit(parent)
        made = lifecycle.create(execution, timeout_ms=definition.timeout_ms)
        if made and parent and parent.budget:
            allot(execution.pk, parent.budget)
        if made and beginning:
            _copy(execution, beginning)
        return made


def _copy(execution: Execution, beginning: Beginning) -> None:
    if beginning.source is not None:
        lifecycle.copy_runs(beginning.source, execution.pk, places=beginning.copied)
    _note(execution, beginning)


def _note(execution: Execution, beginning: Beginning) -> None:
    """Put a copy on record as something that was done with the execution copied."""
    origin = beginning.origin
    trail.note(
        str(origin["kind"]),
        origin["execution_id"],
        name=execution.orchestration.name,
        after={
            "execution_id": str(execution.pk),
            "version_id": beginning.version,
            "from_step": origin["from_step"],
        },
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """What somebody asks for; an idempotency key makes repetitions known."""

    orchestration: Orchestration
    input: Any
    user: int | None
    key: str | None
    beginning: Beginning | None
    parent: Parent | None = None

    @property
    def origin(self) -> dict[str, Any] | None:
        """Say where the execution comes from, unless somebody asked for it plainly."""
        if self.beginning:
            return dict(self.beginning.origin)
        return dict(self.parent.origin) if self.parent else None

    def made_before(self) -> Execution | None:
        """Return the execution that an equal request with this key made."""
        if self.key is None:
            return None
        mine = Execution.objects.filter(created_by=self.user, idempotency_key=self.key)
        first: Execution | None = mine.first()
        if first is None:
            return None
        if not self._asked_for(first) or not same(first.input, self.input):
            raise IdempotencyConflict(
                f"The Idempotency-Key {self.key!r} belongs to execution {first.pk}, "
                "of another orchestration or input; choose a new key."
            )
        first.is_replay = True
        return first

    def _asked_for(self, first: Execution) -> bool:
        """Tell whether an execution is of this orchestration, and began so."""
        if first.orchestration_id != self.orchestration.pk:
            return False
        if self.beginning and str(first.version_id) != self.beginning.version:
            return False
        return first.origin == self.origin


def _check_all(definition: Definition, inputs: Sequence[Any]) -> None:
    problems = [
        replace(problem, pointer=problem.pointer.replace("/input", f"/inputs/{n}", 1))
        for n, given in enumerate(inputs)
        for problem in problems_of(definition, given)
    ]
    if problems:
        raise InvalidInput(problems)


def _send(execution: Execution, *, goes_on: bool) -> None:
    if goes_on:
        resumption.go_on(execution.pk, which="all")
        announce(execution.pk)
    else:
        _send_all(str(execution.version_id), [execution])


def _send_all(version: str, executions: Sequence[Execution]) -> None:
    """Send the beginnings of executions of one version, with the same pins."""
    addresses = [
        Address(execution=str(one.pk), version=version, epoch=1) for one in executions
    ]
    plan, pins = pinned.plan(version), executions[0].role_pins
    dispatch.start_all(plan, addresses, pins=pins)
    for execution in executions:
        announce(execution.pk)
