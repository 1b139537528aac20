"""The meta-tools that make, change and remove roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from pydantic import ConfigDict, Field

from roles.documents import document_of, problems_of
from roles.models import Role
from roles.registry import RoleInUse, delete_role, patch_role, save_role
from roles.toolkit import (
    Arguments,
    Caller,
    Document,
    ToolRefused,
    tool,
    without_defaults,
)
from roles.toolkit.envelope import (
    FORBIDDEN,
    check_count,
    hold,
    made_before,
    refuse_outside,
    role_problems,
    with_approval,
    with_policy,
)
from roles.toolkit.refusals import refusing
from roles.toolkit.rights import held, is_own, owner
from roles.tools.listing import whole

_TOOLS = (
    "What an agent may call: `function:<registered name>`, `http:<role name>`, "
    "`orchestration:<name>`, `mcp:<server>`, or `meta` for these system tools."
)


class _Fields(Document):
    description: str = Field("", description="What it is good at, for people.")
    base_prompt: str = Field(
        "",
        description="The instructions of an agent. `{{ input.<field> }}` reads the "
        "step's input; the whole input reaches the model in any case.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description='Of a function: {"function": "<registered name>", "arguments": '
        '{...}}. Of http: {"method", "url", "headers", "query", "body"}, with '
        "`{{ input.<field> }}` inside. Of an agent: settings such as temperature and "
        "max_tokens; may be left out.",
    )
    tools: list[str] = Field(default_factory=list, description=_TOOLS)
    needs_tools: bool = Field(
        False, description="Whether its model must be able to call tools."
    )
    model_constraints: dict[str, Any] = Field(
        default_factory=dict,
        description="Which model an agent asks; {} leaves it to the installation, "
        '{"pinned": "provider:model"} names it.',
    )
    input_schema: dict[str, Any] | None = Field(
        None, description="A JSON Schema that its input has to fit."
    )
    output_schema: dict[str, Any] | None = Field(
        None,
        description="A JSON Schema of what it returns; an agent is held to it, and "
        "returns text without one.",
    )
    is_active: bool = True


_KIND = "`agent`: a language model with a prompt; `function`; `http`."


class CreateRole(_Fields):
    """A new role."""

    name: str = Field(description="Unique; steps name the role by it.")
    kind: str = Field(description=_KIND)


class RoleChanges(_Fields):
    """The fields to replace; others stay as they are."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    name: str = Field("", description="A new name.")
    kind: str = Field("", description=_KIND)


class UpdateRole(Arguments):
    id: UUID | None = Field(None, description="The role's id, or give its name.")
    name: str | None = Field(None, description="The role's name as it is now.")
    changes: RoleChanges


class DeleteRole(Arguments):
    id: UUID | None = Field(None, description="The role's id, or give its name.")
    name: str | None = Field(None, description="The role's name.")


@tool("system.create_role")
@transaction.atomic
def create_role(arguments: CreateRole, caller: Caller) -> dict[str, Any]:
    """
    Make a role: somebody who can do a step of an orchestration.

    An agent needs `name`, `kind` "agent" and a `base_prompt`. Returns the role with its
    id. A wrong document is refused with every problem and its place.
    """
    document = with_approval(with_policy(arguments.sent, caller), caller)
    hold(caller)
    before = made_before(Role.objects.all(), document.get("name"), caller)
    if before is not None:
        return whole(before)
    check_count(Role.objects, caller, limit="max_roles", what="roles")
    if not problems_of(document):
        refuse_outside(role_problems(document, caller))
    with refusing():
        role = save_role(document, by=owner(caller), provenance=caller.provenance)
    return whole(role)


@tool("system.update_role")
@transaction.atomic
def update_role(arguments: UpdateRole, caller: Caller) -> dict[str, Any]:
    """
    Change a role, named by `id` or `name`: the fields in `changes` are replaced.

    Executions that run already keep the role as it was when they started. Returns the
    role as it is then.
    """
    role = _held(arguments, caller)
    changes = arguments.changes.sent
    document = {**document_of(role), **changes}
    document = with_approval(with_policy(document, caller), caller)
    if {"kind", "tools", "config"} & changes.keys():
        changes["config"] = document["config"]
    if not problems_of(document):
        refuse_outside(role_problems(document, caller), below="/changes")
    with refusing(below="/changes"):
        return whole(patch_role(role, changes, by=owner(caller)))


@tool("system.delete_role")
@transaction.atomic
def delete_role_(arguments: DeleteRole, caller: Caller) -> dict[str, Any]:
    """
    Remove a role, named by `id` or `name`, for good.

    Refused with `role_in_use` as long as orchestrations name it: change or delete those
    first.
    """
    role = _held(arguments, caller)
    gone = {"id": str(role.pk), "name": role.name, "deleted": True}
    with refusing({RoleInUse: "role_in_use"}):
        delete_role(role)
    return gone


def _held(arguments: UpdateRole | DeleteRole, caller: Caller) -> Role:
    """Lock a role that the caller may change: an agent, only what it could make."""
    role: Role = held(
        Role.objects.all(), caller, "role", id_=arguments.id, name=arguments.name
    )
    if caller.policy is None or is_own(role, caller):
        return role
    policy = caller.policy
    if policy.publish == "draft" or not policy.allows(policy.edits, role.name):
        raise ToolRefused(
            f"You did not make the role {role.name!r}, and your policy does not let "
            "you change it; make one of your own.",
            code=FORBIDDEN,
        )
    if role_problems(document_of(role), caller):
        raise ToolRefused(
            f"The role {role.name!r} may do more than you may hand on; you cannot "
            "change it.",
            code=FORBIDDEN,
        )
    return role
