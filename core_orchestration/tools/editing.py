"""The meta-tools that make, change and remove orchestrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from pydantic import Field

from core_orchestration import drafts
from core_orchestration.envelope import (
    may_run,
    orchestration_problems,
    with_limits,
)
from core_orchestration.models import Orchestration
from core_orchestration.tools.documents import (
    CreateOrchestration,
    OrchestrationChanges,
)
from core_orchestration.tools.reading import whole
from roles.toolkit import Arguments, Caller, ToolRefused, tool
from roles.toolkit.envelope import (
    FORBIDDEN,
    check_count,
    hold,
    made_before,
    refuse_outside,
)
from roles.toolkit.refusals import refusing
from roles.toolkit.rights import held, owner

_ID = Field(None, description="The orchestration's id, or give its name.")


class UpdateOrchestration(Arguments):
    id: UUID | None = _ID
    name: str | None = Field(None, description="Its name as it is now.")
    changes: OrchestrationChanges


class DeleteOrchestration(Arguments):
    id: UUID | None = _ID
    name: str | None = Field(None, description="Its name.")


@tool("system.create_orchestration")
@transaction.atomic
def create_orchestration(
    arguments: CreateOrchestration, caller: Caller
) -> dict[str, Any]:
    """
    Make an orchestration: a named workflow of steps, each done by a role.

    The roles have to be there before. Returns it with its id; `version` is null if it
    is a draft that a person has to publish. A wrong document is refused with every
    problem and its place.
    """
    document = with_limits(arguments.sent, caller)
    hold(caller)
    rows = Orchestration.objects.current()
    before = made_before(rows, document.get("name"), caller)
    if before is not None:
        return whole(before)
    check_count(rows, caller, limit="max_orchestrations", what="orchestrations")
    _check(document, caller)
    with refusing():
        made = drafts.save(
            document,
            by=owner(caller),
            publish=_publishes(caller),
            provenance=caller.provenance,
        )
    return whole(made)


@tool("system.update_orchestration")
@transaction.atomic
def update_orchestration(
    arguments: UpdateOrchestration, caller: Caller
) -> dict[str, Any]:
    """
    Change an orchestration, named by `id` or `name`: `changes` replaces whole fields.

    To change a step, give all `steps`. Executions that run already go on as they began.
    Returns the orchestration as it is then.
    """
    orchestration = _held(arguments, caller)
    changes = arguments.changes.sent
    document = with_limits({**drafts.document_of(orchestration), **changes}, caller)
    if caller.policy is not None:
        changes["limits"] = document["limits"]
    _check(document, caller, edited=orchestration)
    with refusing(below="/changes"):
        changed = drafts.patch(
            orchestration, changes, by=owner(caller), publish=_publishes(caller)
        )
    return whole(changed)


@tool("system.delete_orchestration")
@transaction.atomic
def delete_orchestration(
    arguments: DeleteOrchestration, caller: Caller
) -> dict[str, Any]:
    """
    Take an orchestration out of use, named by `id` or `name`.

    Its executions stay; its name is free again, and so are its roles.
    """
    orchestration = _held(arguments, caller)
    drafts.archive(orchestration, timezone.now())
    return {
        "id": str(orchestration.pk),
        "name": orchestration.name,
        "deleted": True,
    }


def _publishes(caller: Caller) -> bool:
    return caller.policy is None or caller.policy.publish == "live"


def _check(
    document: Mapping[str, Any],
    caller: Caller,
    *,
    edited: Orchestration | None = None,
) -> None:
    """Refuse what is sound and more than the caller may make."""
    if caller.policy is None:
        return
    if not drafts.problems_of(document, by=owner(caller), orchestration=edited):
        below = "" if edited is None else "/changes"
        refuse_outside(orchestration_problems(document, caller), below=below)


def _held(
    arguments: UpdateOrchestration | DeleteOrchestration, caller: Caller
) -> Orchestration:
    rows = Orchestration.objects.current()
    found: Orchestration = held(
        rows, caller, "orchestration", id_=arguments.id, name=arguments.name
    )
    if not may_run(found, caller):
        raise ToolRefused(
            f"You did not make the orchestration {found.name!r}, and your policy does "
            "not let you change it; make one of your own.",
            code=FORBIDDEN,
        )
    return found
