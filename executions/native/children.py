"""
`orchestration`: another one is run, as an execution of its own below this one.

The child is recorded together with the step that waits for it, so that there is
exactly one; its end is heard of as that of a frame is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from core_orchestration.models import (
    Orchestration,
    OrchestrationQuerySet,
    OrchestrationVersion,
)
from executions import dispatch, lifecycle, output, pinned
from executions.bodies import Fault
from executions.creation import (
    InvalidInput,
    NotRunnable,
    check,
    pending,
    pins_of,
    runnable_version,
)
from executions.database import one_transaction
from executions.lifecycle import Claim
from executions.lifecycle.children import Child
from executions.limits import Limits
from executions.models import Execution
from executions.native.ending import OPEN, fail, settle
from executions.native.place import Place, place
from executions.native.upshot import NOTHING, Upshot
from executions.plan import PlannedStep
from executions.runs import run_of
from executions.signatures import Address


def begin(at: Place) -> Upshot:
    """Record the child, and wait for it if its step is to."""
    waits = bool(at.planned.step.config.get("wait", True))
    child = _child(at, awaited=waits)
    with one_transaction():
        given = {"execution_id": str(child.pk), "input": child.input}
        run = run_of(at.address, at.planned, given=given)
        state = {"execution_id": str(child.pk)}
        claim = lifecycle.begin_waiting(run, state=state)
        if claim is None:
            return NOTHING
        plan = pinned.plan(str(child.version_id))
        lifecycle.create(child, timeout_ms=plan.definition.timeout_ms)
        upshot = NOTHING if waits else settle(at, claim, state)
        if waits:
            at.rest()
        address = Address(
            execution=str(child.pk), version=str(child.version_id), epoch=1
        )
        dispatch.start_all(plan, [address], pins=child.role_pins)
        return upshot


def hear(address: Address, planned: PlannedStep, child_id: UUID) -> Upshot:
    """Let a step hear that its child has ended."""
    with one_transaction():
        claim = lifecycle.hold(run_of(address, planned), was=OPEN)
        at = place(address, planned)
        child = lifecycle.ended_child(child_id)
        if child is None:
            return NOTHING
        if claim is None:
            lifecycle.hear_child(child_id)  # nobody waits for it any more
            return NOTHING
        if at is None or not lifecycle.hear_child(child_id):
            return NOTHING
        lifecycle.rouse(at.uuid)
        return _end(at, claim, child)


def _end(at: Place, claim: Claim, child: Child) -> Upshot:
    if child.status != "completed":
        return fail(at, claim, _error(at, child))
    plan = pinned.plan(str(child.version))
    value = child.output
    if value is None and plan.output is None:
        value = output.of_context(child.id, plan)
    return settle(at, claim, value)


def _error(at: Place, child: Child) -> Mapping[str, Any]:
    error = child.error or {}
    message = error.get("message") or f"It is {child.status}."
    return {
        "type": error.get("type") or child.status,
        "message": f"Execution {child.id}, which this step ran, is {child.status}: "
        f"{message}",
    }


def _child(at: Place, *, awaited: bool) -> Execution:
    parent = Execution.objects.only("created_by_id", "depth", "api_key_id").get(
        pk=at.uuid
    )
    most = Limits.of(at.planned.plan.definition).depth
    if parent.depth + 1 >= most:
        raise Fault(
            "too_deep",
            f"It would stand {parent.depth + 1} executions deep; max_depth allows "
            f"{most - 1}.",
        )
    orchestration = _orchestration(at, parent.created_by_id)
    given = at.beginning() if at.planned.input else at.output_before()
    if not isinstance(given, dict):
        given = {"input": given}
    try:
        version = _version(at, orchestration)
        definition = pinned.plan(version).definition
        check(definition, given)
        return pending(
            orchestration,
            definition,
            given,
            version_id=UUID(version),
            role_pins=pins_of(definition, orchestration, version),
            created_by_id=parent.created_by_id,
            parent_execution_id=at.uuid,
            parent_path=at.planned.path,
            awaited=awaited or None,
            depth=parent.depth + 1,
            api_key_id=parent.api_key_id,
        )
    except NotRunnable as error:
        raise Fault("not_runnable", str(error)) from error
    except InvalidInput as error:
        raise Fault("invalid_input", str(error)) from error


def _orchestration(at: Place, owner: int | None) -> Orchestration:
    config = at.planned.step.config
    named: OrchestrationQuerySet = Orchestration.objects.all()
    if owner is not None:
        named = named.visible_to(get_user_model().objects.get(pk=owner))
    wanted = config.get("orchestration_id")
    if wanted is not None:
        named = named.filter(pk=wanted)
    else:
        wanted = config["orchestration_name"]
        named = named.current().filter(name=wanted)
    found: Orchestration | None = named.first()
    if found is None:
        raise Fault("unknown_orchestration", f"There is no orchestration {wanted!r}.")
    return found


def _version(at: Place, orchestration: Orchestration) -> str:
    number = at.planned.step.config.get("version")
    if number is None:
        return runnable_version(orchestration)
    versions = OrchestrationVersion.objects.filter(
        orchestration=orchestration, number=number
    )
    found = versions.values_list("pk", flat=True).first()
    if found is None:
        raise NotRunnable(f"{orchestration.name!r} has no version {number}.")
    return str(found)
