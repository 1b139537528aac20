"""A secret as a JSON document: its fields, and everything that can be wrong in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from roles.models import Secret
from roles.problems import Problem, child, did_you_mean, kind_of, quoted
from roles.runners.addresses import parse_allowed
from roles.secrets.references import MAX_NAME, is_name
from roles.storable import storable_problems

SHORTEST_VALUE = 8  # what is shorter could not be told from other text that comes back
LONGEST_VALUE = 50_000
MAX_HOSTS = 100
LONGEST_HOST = 260

READ_ONLY = frozenset({"id", "created_at", "updated_at"})
DEFAULTS: Mapping[str, Any] = {"description": "", "allowed_hosts": []}
FIELDS = ("name", *DEFAULTS, "value")

_HOST = re.compile(r"[^\s/*@?#,\\]+")


def document_of(secret: Secret) -> dict[str, Any]:
    """Write a secret's editable fields, all but the value."""
    return {
        "name": secret.name,
        "description": secret.description,
        "allowed_hosts": list(secret.allowed_hosts),
    }


def problems_of(document: Any, *, is_new: bool) -> list[Problem]:
    """List what is wrong with a document in itself; the value is never repeated."""
    if not isinstance(document, dict):
        detail = f"A secret is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    if unstorable := storable_problems(document):
        return unstorable
    found = [
        _unknown_field(field)
        for field in document
        if field not in FIELDS and field not in READ_ONLY
    ]
    found += [
        Problem("", "required", f"A secret needs a {field}.")
        for field in ("name", "value")
        if field not in document and (is_new or field == "name")
    ]
    for field in FIELDS:
        if field in document:
            found += _CHECKS[field](document[field], f"/{field}")
    return found


def _unknown_field(field: str) -> Problem:
    detail = f"A secret has no field {quoted(field)}.{did_you_mean(field, FIELDS)}"
    return Problem(child("", field), "unknown_field", detail)


def _name(value: Any, place: str) -> list[Problem]:
    if wrong := _text(value, place):
        return wrong
    if is_name(value):
        return []
    detail = (
        f"A name has at most {MAX_NAME} small letters, digits, `_`, `.` and `-`, and a "
        "letter or digit first."
    )
    return [Problem(place, "invalid_name", detail)]


def _value(value: Any, place: str) -> list[Problem]:
    if wrong := _text(value, place):
        return wrong
    if len(value.strip()) < SHORTEST_VALUE:
        detail = (
            f"A secret has at least {SHORTEST_VALUE} characters; a shorter one could "
            "not be kept out of what comes back."
        )
        return [Problem(place, "too_short", detail)]
    if len(value) > LONGEST_VALUE:
        detail = f"A secret has at most {LONGEST_VALUE:,} characters."
        return [Problem(place, "too_long", detail)]
    return []


def _hosts(value: Any, place: str) -> list[Problem]:
    if not isinstance(value, list):
        detail = f"This must be a list, not {kind_of(value)}."
        return [Problem(place, "wrong_type", detail)]
    if len(value) > MAX_HOSTS:
        return [Problem(place, "too_long", f"At most {MAX_HOSTS} hosts.")]
    return [
        problem
        for number, host in enumerate(value)
        for problem in _host(host, child(place, number))
    ]


def _host(value: Any, place: str) -> list[Problem]:
    if wrong := _text(value, place):
        return wrong
    if len(value) <= LONGEST_HOST and _HOST.fullmatch(value) and _is_read(value):
        return []
    detail = f"Write host or host:port, not {quoted(value)}."
    return [Problem(place, "invalid_host", detail)]


def _is_read(host: str) -> bool:
    try:
        return bool(parse_allowed([host]).entries)
    except ValueError:
        return False


def _text(value: Any, place: str) -> list[Problem]:
    if isinstance(value, str):
        return []
    return [Problem(place, "wrong_type", f"This must be text, not {kind_of(value)}.")]


_CHECKS: Mapping[str, Callable[[Any, str], list[Problem]]] = {
    "name": _name,
    "description": _text,
    "allowed_hosts": _hosts,
    "value": _value,
}
