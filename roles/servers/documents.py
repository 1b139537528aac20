"""An MCP server as a JSON document: its fields, and all that can be wrong in one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
from django.conf import settings

from roles.models import McpServer
from roles.problems import Problem, child, did_you_mean, kind_of, quoted
from roles.runners.addresses import SETTING, is_public, parse_allowed
from roles.runners.base import RunnerError
from roles.runners.http_request import checked_url, header_fault
from roles.secrets.references import is_reference, reference_problems
from roles.storable import storable_problems

LONGEST_TIMEOUT_MS = 600_000
MAX_ENTRIES = 200
MAX_TEXT = 2_000
LONGEST_VALUE = 10_000

READ_ONLY = frozenset({"id", "created_at", "updated_at"})
DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "url": "",
    "command": [],
    "headers": {},
    "environment": {},
    "allowed_tools": [],
    "approved_tools": [],
    "timeout_ms": 30_000,
    "is_active": True,
}
FIELDS = ("name", *DEFAULTS)

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,59}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
# They say what a command runs, and not with what it works.
_REFUSED_VARIABLES = frozenset({"BASH_ENV", "ENV", "LD_AUDIT", "LD_PRELOAD"})

Problems = Iterator[Problem]


def document_of(server: McpServer) -> dict[str, Any]:
    """Write a server's editable fields as the document that would make it again."""
    return {field: getattr(server, field) for field in FIELDS}


def completed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults and leave out what only the product writes."""
    given = {field: document[field] for field in FIELDS if field in document}
    return {**DEFAULTS, **given}


def is_name(text: str) -> bool:
    """Tell whether a server could have this name."""
    return _NAME.fullmatch(text) is not None


def problems_of(document: Any) -> list[Problem]:
    """List everything that is wrong with a document in itself."""
    if not isinstance(document, dict):
        detail = f"An MCP server is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    if unstorable := storable_problems(document):
        return unstorable
    found = list(_unknown_fields(document))
    if "name" not in document:
        found.append(Problem("", "required", "An MCP server needs a name."))
    for field, check in _CHECKS.items():
        if field in document:
            found += check(document[field], f"/{field}")
    return found or list(_reach_problems(completed(document)))


def _unknown_fields(document: Mapping[str, Any]) -> Problems:
    for field in document:
        if field not in FIELDS and field not in READ_ONLY:
            hint = did_you_mean(field, FIELDS)
            detail = f"An MCP server has no field {quoted(field)}.{hint}"
            yield Problem(child("", field), "unknown_field", detail)


def _reach_problems(document: Mapping[str, Any]) -> Problems:
    """Find what does not go together: a server is reached in one of two ways."""
    if bool(document["url"]) == bool(document["command"]):
        detail = "Give a url (streamable HTTP) or a command (stdio), one of them."
        yield Problem("", "url_or_command", detail)
    elif document["url"] and document["environment"]:
        detail = "Only a command has an environment; a URL has headers."
        yield Problem("/environment", "no_command", detail)
    elif document["command"] and document["headers"]:
        detail = "Only a URL has headers; a command has an environment."
        yield Problem("/headers", "no_url", detail)


def _name(value: Any, place: str) -> Problems:
    if not isinstance(value, str):
        yield _wrong_type(place, "text", value)
    elif not is_name(value):
        detail = "A name has at most 60 letters, digits, `_` and `-`, no sign first."
        yield Problem(place, "invalid_name", detail)


def _text(longest: int) -> Callable[[Any, str], Problems]:
    def check(value: Any, place: str) -> Problems:
        if not isinstance(value, str):
            yield _wrong_type(place, "text", value)
        elif len(value) > longest:
            detail = f"This is longer than {longest:,} characters."
            yield Problem(place, "too_long", detail)

    return check


def _url(value: Any, place: str) -> Problems:
    wrong = list(_text(MAX_TEXT)(value, place))
    yield from wrong
    if wrong or not value:
        return
    try:
        url = checked_url(value)
    except RunnerError as problem:
        yield Problem(place, "invalid_url", problem.message)
        return
    if url.fragment:
        yield Problem(place, "invalid_url", "A server's URL has no fragment.")
    elif _is_private(url):
        detail = (
            f"{url.host} is a private or otherwise not public address; list it in "
            f"{SETTING} if it may be called."
        )
        yield Problem(place, "address_refused", detail)


def _is_private(url: httpx.URL) -> bool:
    """Judge what can be told without asking DNS; the rest is when it is connected to."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    if parse_allowed(settings.CORE_HTTP_ALLOWED_HOSTS).has(url.host, port):
        return False
    try:
        return not is_public(ipaddress.ip_address(url.host))
    except ValueError:
        return url.host.rstrip(".").lower() == "localhost"


def _command(value: Any, place: str) -> Problems:
    wrong = list(_texts(value, place))
    yield from wrong
    if not wrong and value and not value[0].strip():
        yield Problem(child(place, 0), "blank", "Name the program to start first.")


def _texts(value: Any, place: str) -> Problems:
    if not isinstance(value, list):
        yield _wrong_type(place, "a list of texts", value)
        return
    if len(value) > MAX_ENTRIES:
        yield Problem(place, "too_long", f"At most {MAX_ENTRIES} entries.")
    for number, each in enumerate(value[:MAX_ENTRIES]):
        yield from _text(MAX_TEXT)(each, child(place, number))


def _tools(value: Any, place: str) -> Problems:
    wrong = list(_texts(value, place))
    yield from wrong
    for number, each in enumerate([] if wrong else value):
        if not each.strip() or len(each) > 200:
            detail = "A tool's name has 1 to 200 characters."
            yield Problem(child(place, number), "invalid_name", detail)


def _headers(value: Any, place: str) -> Problems:
    yield from _values(value, place, header_fault)


def _environment(value: Any, place: str) -> Problems:
    yield from _values(value, place, _variable_fault)


def _variable_fault(name: str, content: Any) -> str | None:
    if not _VARIABLE.fullmatch(name):
        return f"{quoted(name)} is no name of an environment variable."
    if name in _REFUSED_VARIABLES:
        return f"{name} says what is run; make it part of the command."
    return None


def _values(
    value: Any, place: str, fault_of: Callable[[str, Any], str | None]
) -> Problems:
    if not isinstance(value, dict):
        yield _wrong_type(place, "an object", value)
        return
    if len(value) > MAX_ENTRIES:
        yield Problem(place, "too_long", f"At most {MAX_ENTRIES} entries.")
        return
    for name, content in value.items():
        at = child(place, name)
        if fault := fault_of(name, content):
            yield Problem(at, "invalid", fault)
        elif is_reference(content):
            yield from reference_problems(content, at)
        else:
            yield from _text(LONGEST_VALUE)(content, at)


def _timeout(value: Any, place: str) -> Problems:
    if isinstance(value, bool) or not isinstance(value, int):
        yield _wrong_type(place, "a whole number", value)
    elif not 1 <= value <= LONGEST_TIMEOUT_MS:
        detail = f"This must lie between 1 and {LONGEST_TIMEOUT_MS:,}."
        yield Problem(place, "out_of_range", detail)


def _boolean(value: Any, place: str) -> Problems:
    if not isinstance(value, bool):
        yield _wrong_type(place, "true or false", value)


def _wrong_type(place: str, wanted: str, value: Any) -> Problem:
    detail = f"This must be {wanted}, not {kind_of(value)}."
    return Problem(place, "wrong_type", detail)


_CHECKS: Mapping[str, Callable[[Any, str], Problems]] = {
    "name": _name,
    "description": _text(LONGEST_VALUE),
    "url": _url,
    "command": _command,
    "headers": _headers,
    "environment": _environment,
    "allowed_tools": _tools,
    "approved_tools": _tools,
    "timeout_ms": _timeout,
    "is_active": _boolean,
}
