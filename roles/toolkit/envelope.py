"""
Hold what an agent makes within the envelope of its role.

Nothing that it makes may do more than it could itself: kinds, functions, models,
secrets and tools are those of its policy, tools besides those that it was granted, and
the policy of a role that it makes is its own at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import connection
from pydantic import ValidationError

from roles.problems import Problem, child, listing, quoted
from roles.secrets.references import references_in
from roles.toolkit.base import Caller, ToolRefused
from roles.toolkit.policy import BudgetLimits, Policy
from roles.toolkit.registry import META

FORBIDDEN = "not_in_policy"
# The fields of `model_constraints` that name models, and those that leave no choice.
MODEL_FIELDS = ("model", "pinned", "preferred")
PINNING = ("model", "pinned")

_PATTERNS = (
    "roles",
    "edits",
    "kinds",
    "functions",
    "tools",
    "models",
    "secrets",
    "orchestrations",
)
_NUMBERS = (
    "max_roles",
    "max_orchestrations",
    "max_steps",
    "max_executions",
    "max_fan_out",
    "max_depth",
)


def refuse_outside(found: Sequence[Problem], *, below: str = "") -> None:
    """Raise ToolRefused when there is anything that the envelope does not hold."""
    if not found:
        return
    problems = [replace(each, pointer=below + each.pointer) for each in found]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    first = problems[0]
    raise ToolRefused(
        f"{first.pointer}: {first.detail}{more}", code=FORBIDDEN, problems=problems
    )


def role_problems(document: Mapping[str, Any], caller: Caller) -> list[Problem]:
    """List what a role's document has that its maker may not give; it is valid."""
    policy = caller.policy
    if policy is None:
        return []
    return [
        *_kind_problems(document, policy),
        *_asked_problems(document, caller.approval),
        *_tool_problems(document, policy, caller.grants),
        *_model_problems(document, policy),
        *_secret_problems(document, policy),
        *_policy_problems(document, heirs(policy)),
    ]


def with_policy(document: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """
    Give a role that can make things itself what its maker's policy leaves to it.

    What is given stays, right or wrong; what is left out is filled in.
    """
    if caller.policy is None or META not in _listed(document.get("tools")):
        return dict(document)
    most = heirs(caller.policy).model_dump(mode="json")
    config = document.get("config")
    own = config.get("policy") if isinstance(config, Mapping) else None
    given = {} if own is None else own
    if not isinstance(config, Mapping | None) or not isinstance(given, Mapping):
        return dict(document)  # its own checks say what is wrong with it
    policy = {**most, **given}
    if isinstance(policy["budget"], Mapping):
        policy["budget"] = {**most["budget"], **policy["budget"]}
    return {**document, "config": {**(config or {}), "policy": policy}}


def with_approval(document: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """
    Have an agent with tools ask the people whom its maker has to ask, about the same.

    It may ask them about more.
    """
    own, config = caller.approval, document.get("config")
    if not own or document.get("kind") != "agent" or not document.get("tools"):
        return dict(document)
    given = config.get("approval") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping | None) or not isinstance(given, Mapping | None):
        return dict(document)  # its own checks say what is wrong with it
    tools = list(own.get("tools", ()))
    tools += [each for each in _listed((given or {}).get("tools")) if each not in tools]
    approval = {**own, "tools": tools}
    return {**document, "config": {**(config or {}), "approval": approval}}


def heirs(policy: Policy) -> Policy:
    """Return the widest policy of a role that is made under this one."""
    return policy.model_copy(update={"max_depth": max(0, policy.max_depth - 1)})


def hold(caller: Caller) -> None:
    """
    Let the calls of one execution make things one after the other.

    Inside a transaction: the next call waits until this one is through.
    """
    if caller.actor.execution_id is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"made by {caller.actor.execution_id}"],
        )


def made_before(rows: Any, name: Any, caller: Caller) -> Any:
    """Return what an earlier attempt of this same call made, or None."""
    if not caller.call_key or caller.provenance is None or not isinstance(name, str):
        return None
    return rows.filter(name=name, provenance=caller.provenance).first()


def check_count(rows: Any, caller: Caller, *, limit: str, what: str) -> None:
    """Raise ToolRefused when the execution has made as many of these as it may."""
    policy, execution = caller.policy, caller.actor.execution_id
    if policy is None or execution is None:
        return
    most: int = getattr(policy, limit)
    mine = rows.filter(
        created_by=caller.user_id, provenance__execution_id=execution
    ).count()
    if mine >= most:
        raise ToolRefused(
            f"You made {mine} {what}; your policy's {limit} allows {most}. Change or "
            "reuse one of them.",
            code="limit_reached",
        )


def _kind_problems(document: Mapping[str, Any], policy: Policy) -> Iterator[Problem]:
    kind, config = document["kind"], document.get("config") or {}
    if not policy.allows(policy.kinds, kind):
        allowed = listing(policy.kinds) or "none"
        detail = f"You may not make roles of kind {kind!r}; allowed: {allowed}."
        yield Problem("/kind", FORBIDDEN, detail)
    if kind == "function" and not policy.allows(
        policy.functions, str(config.get("function"))
    ):
        allowed = listing(policy.functions) or "none"
        detail = (
            f"You may not use the function {quoted(config.get('function'))}; "
            f"allowed: {allowed}."
        )
        yield Problem("/config/function", FORBIDDEN, detail)


def _asked_problems(
    document: Mapping[str, Any], approval: Mapping[str, Any] | None
) -> Iterator[Problem]:
    """Refuse a function that the maker has to ask about: a step asks nobody."""
    name = f"function:{(document.get('config') or {}).get('function')}"
    patterns = (approval or {}).get("tools", ())
    if document["kind"] == "function" and Policy.allows(patterns, name):
        detail = f"A person decides about your calls of {name}; leave it to your tools."
        yield Problem("/config/function", FORBIDDEN, detail)


def _tool_problems(
    document: Mapping[str, Any], policy: Policy, grants: frozenset[str]
) -> Iterator[Problem]:
    for place, entry in enumerate(_listed(document.get("tools"))):
        pointer = child("/tools", place)
        if not policy.allows(policy.tools, entry):
            allowed = listing(policy.tools) or "none"
            detail = (
                f"Your policy does not let you hand on the tool {entry!r}; allowed: "
                f"{allowed}."
            )
            yield Problem(pointer, FORBIDDEN, detail)
        elif entry not in grants:
            detail = f"You do not have the tool {entry!r} yourself; leave it out."
            yield Problem(pointer, FORBIDDEN, detail)


def _model_problems(document: Mapping[str, Any], policy: Policy) -> Iterator[Problem]:
    if "*" in policy.models or document["kind"] != "agent":
        return
    given = document.get("model_constraints") or {}
    for field in MODEL_FIELDS:
        names = given.get(field)
        for name in [names] if isinstance(names, str) else _listed(names):
            if not policy.allows(policy.models, str(name).strip()):
                detail = f"You may not use the model {quoted(name)}; {_models(policy)}"
                yield Problem(f"/model_constraints/{field}", FORBIDDEN, detail)
    if not _is_bound(given, policy):
        detail = f"Name the model in `pinned`; {_models(policy)}"
        yield Problem("/model_constraints", FORBIDDEN, detail)


def _is_bound(given: Mapping[str, Any], policy: Policy) -> bool:
    """Tell whether no model can be chosen but those that are named or allowed."""
    if any(given.get(field) for field in PINNING):
        return True
    providers = _listed(given.get("providers"))
    return bool(providers) and all(
        policy.allows(policy.models, f"{each}:*") for each in providers
    )


def _models(policy: Policy) -> str:
    return f"allowed: {listing(policy.models) or 'none'}."


def _secret_problems(document: Mapping[str, Any], policy: Policy) -> Iterator[Problem]:
    for field in ("config", "model_constraints"):
        for pointer, name in references_in(document.get(field), f"/{field}"):
            if not policy.allows(policy.secrets, name):
                detail = f"You may not use the secret {name!r}."
                yield Problem(pointer, FORBIDDEN, detail)


def _policy_problems(document: Mapping[str, Any], most: Policy) -> Iterator[Problem]:
    given = (document.get("config") or {}).get("policy")
    if not isinstance(given, Mapping):
        return
    try:
        wanted = Policy.model_validate(given)
    except ValidationError:
        return  # the document's own checks say what is wrong with it
    for field in _wider(wanted, most):
        allowed = getattr(most, field)
        shown = allowed.model_dump() if isinstance(allowed, BudgetLimits) else allowed
        detail = f"This is wider than your own policy, which leaves {shown!r} to it."
        yield Problem(f"/config/policy/{field}", FORBIDDEN, detail)


def _wider(wanted: Policy, most: Policy) -> Iterator[str]:
    for field in _PATTERNS:
        # A pattern that fits another one is within it: a star fits only a star.
        patterns = getattr(most, field)
        if not all(most.allows(patterns, each) for each in getattr(wanted, field)):
            yield field
    for field in _NUMBERS:
        if getattr(wanted, field) > getattr(most, field):
            yield field
    if not _cheaper(wanted.budget, most.budget):
        yield "budget"
    if wanted.expose and not most.expose:
        yield "expose"
    if wanted.publish == "live" and most.publish == "draft":
        yield "publish"


def _cheaper(wanted: BudgetLimits, most: BudgetLimits) -> bool:
    for field in BudgetLimits.model_fields:
        limit, own = getattr(most, field), getattr(wanted, field)
        if limit is not None and (own is None or own > limit):
            return False
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
