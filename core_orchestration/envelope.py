"""
Hold the orchestrations that an agent makes within the envelope of its role.

Its steps do what its policy lets it use, or what it made itself; and an execution
grows no larger than the policy says, whoever starts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Q

from core_orchestration.keys import walk
from core_orchestration.models import Orchestration
from core_orchestration.reasoning import ROLE_FIELDS
from core_orchestration.validation.directory import normal_id
from roles.models import Role
from roles.problems import Problem, child, listing, quoted
from roles.toolkit import Caller, Policy
from roles.toolkit.envelope import FORBIDDEN
from roles.toolkit.rights import is_own, visible

_LISTS = ("steps", "on_failure")
Named = tuple[str, str | None, str | None]  # a pointer, and an id or a name


def with_limits(document: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """Fill in the limits that the maker's policy sets, where none are given."""
    given = document.get("limits", {})
    if caller.policy is None or not isinstance(given, Mapping):
        return dict(document)
    return {**document, "limits": {**_most(caller.policy, caller), **given}}


def orchestration_problems(
    document: Mapping[str, Any], caller: Caller
) -> list[Problem]:
    """List what a document has that its maker may not do; it is valid."""
    policy = caller.policy
    if policy is None:
        return []
    return [
        *_exposure_problems(document, policy),
        *_size_problems(document, policy),
        *_limit_problems(document, policy, caller),
        *_role_problems(document, policy, caller),
        *_named_problems(document, policy, caller),
    ]


def may_run(orchestration: Orchestration, caller: Caller) -> bool:
    """Tell whether a caller's policy lets it execute and change an orchestration."""
    policy = caller.policy
    if policy is None or is_own(orchestration, caller):
        return True
    return policy.allows(policy.orchestrations, orchestration.name)


def _most(policy: Policy, caller: Caller) -> dict[str, int]:
    return {
        "max_fan_out": min(policy.max_fan_out, settings.CORE_MAX_FAN_OUT),
        "max_depth": min(caller.depth + policy.max_depth + 1, settings.CORE_MAX_DEPTH),
    }


def _exposure_problems(
    document: Mapping[str, Any], policy: Policy
) -> Iterator[Problem]:
    if document.get("expose_as_tool") and not policy.expose:
        detail = "Your policy does not let you offer tools to others; leave it out."
        yield Problem("/expose_as_tool", FORBIDDEN, detail)


def _size_problems(document: Mapping[str, Any], policy: Policy) -> Iterator[Problem]:
    count = sum(1 for each in _LISTS for _ in walk(document.get(each)))
    if count > policy.max_steps:
        detail = (
            f"There are {count} steps; your policy's max_steps allows "
            f"{policy.max_steps}."
        )
        yield Problem("/steps", FORBIDDEN, detail)


def _limit_problems(
    document: Mapping[str, Any], policy: Policy, caller: Caller
) -> Iterator[Problem]:
    given = document.get("limits") or {}
    for name, most in _most(policy, caller).items():
        if given.get(name, most) > most:
            detail = f"Your policy allows {most}."
            yield Problem(f"/limits/{name}", FORBIDDEN, detail)


def _role_problems(
    document: Mapping[str, Any], policy: Policy, caller: Caller
) -> Iterator[Problem]:
    named = [each for step in _steps(document) for each in _roles_in(*step)]
    ids = {normal_id(id_) for _, id_, _ in named if id_}
    names = {name for _, _, name in named if name}
    rows = visible(Role.objects.filter(Q(pk__in=ids) | Q(name__in=names)), caller)
    allowed = {
        spelling
        for role in rows
        if is_own(role, caller) or policy.allows(policy.roles, role.name)
        for spelling in (("id", str(role.pk)), ("name", role.name))
    }
    for pointer, id_, name in named:
        if (("id", normal_id(id_)) if id_ else ("name", name)) not in allowed:
            detail = (
                f"You may not use the role {quoted(name or id_)}; use roles that you "
                f"made, or {listing(policy.roles) or 'no others'}."
            )
            yield Problem(pointer, FORBIDDEN, detail)


def _named_problems(
    document: Mapping[str, Any], policy: Policy, caller: Caller
) -> Iterator[Problem]:
    for pointer, step in _steps(document):
        if step.get("step_type") != "orchestration":
            continue
        config = step["config"]
        wanted = config.get("orchestration_id"), config.get("orchestration_name")
        if wanted[1] == document.get("name"):
            continue
        if not _may_name(*wanted, caller):
            detail = (
                f"You may not run the orchestration {quoted(wanted[1] or wanted[0])}; "
                "run those that you made, or "
                f"{listing(policy.orchestrations) or 'no others'}."
            )
            yield Problem(child(pointer, "config"), FORBIDDEN, detail)


def _may_name(id_: str | None, name: str | None, caller: Caller) -> bool:
    rows = visible(Orchestration.objects.current(), caller)
    found = (rows.filter(pk=id_) if id_ else rows.filter(name=name)).first()
    return found is not None and may_run(found, caller)


def _roles_in(pointer: str, step: Mapping[str, Any]) -> Iterator[Named]:
    for place, named in (
        (pointer, step),
        (child(pointer, "compensate"), step.get("compensate") or {}),
    ):
        for field in ("role_id", "role_name"):
            if named.get(field):
                yield _named(child(place, field), {field: named[field]})
    for field in ROLE_FIELDS.get(str(step.get("step_type")), ()):
        if given := (step.get("config") or {}).get(field):
            yield _named(child(pointer, "config", field), given)


def _named(pointer: str, given: Any) -> Named:
    if isinstance(given, str):
        return pointer, None, given
    return pointer, given.get("role_id"), given.get("role_name")


def _steps(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in _LISTS:
        yield from _placed(document.get(name), f"/{name}")


def _placed(steps: Any, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, step in enumerate(steps or ()):
        at = child(pointer, place)
        yield at, step
        yield from _placed(step.get("steps"), child(at, "steps"))
