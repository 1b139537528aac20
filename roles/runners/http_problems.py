"""Find what is wrong with an HTTP role before it is ever called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from roles.runners.base import RunnerError
from roles.runners.http_request import METHODS, checked_url, header_fault
from roles.runners.rendering import template_problems
from roles.runners.results import pointer
from roles.runners.secret_text import SecretText

Problems = Iterator[tuple[str, str]]

_PLACE_FIRST = re.compile(r"\s*\{\{")
_PLACE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def problems_of(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List (JSON pointer, sentence) pairs; an empty list means that it can run."""
    found = [
        problem
        for key, value in config.items()
        for problem in _CHECKS.get(key, _unknown)(value, pointer("/config", key))
    ]
    if "url" not in config:
        found.append(("/config/url", "Give the URL to call."))
    rendered = {key: config[key] for key in _RENDERED if key in config}
    return found + list(template_problems(rendered, "/config"))


def _method(value: Any, place: str) -> Problems:
    if not isinstance(value, str) or value.upper() not in METHODS:
        yield place, f"The method must be one of {', '.join(METHODS)}."


def _url(value: Any, place: str) -> Problems:
    if not isinstance(value, str) or not value.strip():
        yield place, "Give the URL to call, as a text."
    elif not isinstance(value, SecretText) and not _PLACE_FIRST.match(value):
        try:
            checked_url(_PLACE.sub("1", value))
        except RunnerError as problem:
            yield place, problem.message


def _headers(value: Any, place: str) -> Problems:
    if not isinstance(value, Mapping):
        yield place, "The headers must be an object of names and values."
        return
    for name, content in value.items():
        fault = header_fault(name, content)
        if isinstance(content, Mapping | list):
            fault = f"The header {name} must be a text."
        if fault:
            yield pointer(place, name), fault


def _query(value: Any, place: str) -> Problems:
    if not isinstance(value, Mapping):
        yield place, "The query must be an object of names and values."


def _any(value: Any, place: str) -> Problems:
    yield from ()


def _positive(value: Any, place: str) -> Problems:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        yield place, "This must be an integer above zero."


def _flag(value: Any, place: str) -> Problems:
    if not isinstance(value, bool):
        yield place, "This must be true or false."


def _statuses(value: Any, place: str) -> Problems:
    if not isinstance(value, list) or not all(
        isinstance(status, int) and 100 <= status <= 599 for status in value
    ):
        yield place, "List the status codes, such as [404], that count as a success."


def _unknown(value: Any, place: str) -> Problems:
    near = get_close_matches(place.rpartition("/")[2], _CHECKS, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(_CHECKS)}."
    yield place, f"An HTTP role has no such setting. {hint}"


_CHECKS: dict[str, Callable[[Any, str], Problems]] = {
    "method": _method,
    "url": _url,
    "headers": _headers,
    "query": _query,
    "body": _any,
    "accept_status": _statuses,
    "follow_redirects": _flag,
    "max_response_bytes": _positive,
    "timeout_ms": _positive,
}
_RENDERED = ("url", "headers", "query", "body")
