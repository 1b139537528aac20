"""A role as a JSON document: its fields, and everything that can be wrong in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roles.models import Role
from roles.problems import Problem, child, did_you_mean, kind_of
from roles.runners import RoleSpec, known_kinds, runner_for
from roles.schemas import schema_problems
from roles.secrets.references import (
    imagined,
    is_reference,
    reference_problems,
    references_in,
)
from roles.storable import storable_problems
from roles.toolkit import grant_problems, policy_problems

MAX_NAME = 200
MAX_TOOLS = 200
# Faults of a document that its kind's runner can judge all the same.
_NO_HINDRANCE = frozenset({"unknown_tool", "unknown_field", "blank", "too_long"})

READ_ONLY = frozenset({"id", "provenance", "created_at", "updated_at"})
DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "base_prompt": "",
    "config": {},
    "tools": [],
    "needs_tools": False,
    "model_constraints": {},
    "input_schema": None,
    "output_schema": None,
    "is_active": True,
}
FIELDS = ("name", "kind", *DEFAULTS)


def document_of(role: Role) -> dict[str, Any]:
    """Write a role's editable fields as the document that would make it again."""
    return {field: getattr(role, field) for field in FIELDS}


def completed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults and leave out what only the product writes."""
    return {
        **DEFAULTS,
        **{field: document[field] for field in FIELDS if field in document},
    }


def problems_of(document: Any) -> list[Problem]:
    """List everything that is wrong with a role's document in itself."""
    if not isinstance(document, dict):
        detail = f"A role is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    if unstorable := storable_problems(document):
        return unstorable
    found = [*_unknown_fields(document), *_missing_fields(document)]
    for field in FIELDS:
        if field in document:
            found += _CHECKS[field](document[field], f"/{field}")
    if all(each.code in _NO_HINDRANCE for each in found):
        found += _runner_problems(completed(document))
    return found


def _unknown_fields(document: Mapping[str, Any]) -> Iterator[Problem]:
    for field in document:
        if field not in FIELDS and field not in READ_ONLY:
            hint = did_you_mean(field, FIELDS)
            detail = f"A role has no field {field!r}.{hint}"
            yield Problem(child("", field), "unknown_field", detail)


def _missing_fields(document: Mapping[str, Any]) -> Iterator[Problem]:
    for field in ("name", "kind"):
        if field not in document:
            yield Problem("", "required", f"A role needs a {field}.")


def _runner_problems(document: Mapping[str, Any]) -> list[Problem]:
    spec = RoleSpec(
        id="",
        **{
            field: value
            for field, value in document.items()
            if field not in {"description", "is_active", "tools", "config"}
        },
        config=imagined(document["config"]),
        tools=tuple(document["tools"]),
    )
    pairs = runner_for(spec.kind).problems(spec)
    found = [Problem(pointer, "invalid", detail) for pointer, detail in pairs]
    policy = spec.config.get("policy")
    if spec.kind == "agent" and isinstance(policy, Mapping):
        found += policy_problems(policy, "/config/policy")
    return found


def _name(value: Any, pointer: str) -> list[Problem]:
    if wrong := _of_type(str)(value, pointer):
        return wrong
    if not value.strip():
        return [Problem(pointer, "blank", "The name must not be blank.")]
    if len(value) > MAX_NAME:
        detail = f"The name is longer than {MAX_NAME} characters."
        return [Problem(pointer, "too_long", detail)]
    return []


def _kind(value: Any, pointer: str) -> list[Problem]:
    if wrong := _of_type(str)(value, pointer):
        return wrong
    known = known_kinds()
    if value in known:
        return []
    hint = did_you_mean(value, known)
    detail = f"There is no kind of role {value!r}.{hint} Known: {', '.join(known)}."
    return [Problem(pointer, "unknown_kind", detail)]


def _tools(value: Any, pointer: str) -> list[Problem]:
    if wrong := _of_type(list)(value, pointer):
        return wrong
    if len(value) > MAX_TOOLS:
        return [Problem(pointer, "too_long", f"At most {MAX_TOOLS} tools.")]
    wrong = [
        problem
        for place, tool in enumerate(value)
        for problem in _of_type(str)(tool, f"{pointer}/{place}")
    ]
    return [*wrong, *grant_problems(value, pointer)]


def _config(value: Any, pointer: str) -> list[Problem]:
    if wrong := _of_type(dict)(value, pointer):
        return wrong
    if is_reference(value):
        detail = "A secret stands in place of a value, not of the whole configuration."
        return [Problem(pointer, "invalid_secret", detail)]
    return reference_problems(value, pointer)


def _constraints(value: Any, pointer: str) -> list[Problem]:
    if wrong := _of_type(dict)(value, pointer):
        return wrong
    detail = "Secrets stand in a role's config; a model has one in its credential."
    return [
        Problem(place, "invalid_secret", detail)
        for place, _ in references_in(value, pointer)
    ]


def _schema(value: Any, pointer: str) -> list[Problem]:
    return [] if value is None else schema_problems(value, pointer)


def _of_type(type_: type) -> Callable[[Any, str], list[Problem]]:
    wanted = _TYPE_NAMES[type_]

    def check(value: Any, pointer: str) -> list[Problem]:
        if type(value) is type_ or (type_ is dict and isinstance(value, dict)):
            return []
        detail = f"This must be {wanted}, not {kind_of(value)}."
        return [Problem(pointer, "wrong_type", detail)]

    return check


_TYPE_NAMES = {
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
_CHECKS: Mapping[str, Callable[[Any, str], list[Problem]]] = {
    "name": _name,
    "kind": _kind,
    "description": _of_type(str),
    "base_prompt": _of_type(str),
    "config": _config,
    "tools": _tools,
    "needs_tools": _of_type(bool),
    "model_constraints": _constraints,
    "input_schema": _schema,
    "output_schema": _schema,
    "is_active": _of_type(bool),
}
