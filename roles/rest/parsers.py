"""
Read JSON bodies strictly.

What cannot be stored or is ambiguous is refused here, with its place, before any
code of the product sees it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser

from roles.problems import Problem, child
from roles.rest.problems import ApiProblem
from roles.storable import storable_problems

MAX_DEPTH = 100


class BodyTooLarge(ApiProblem):
    """The body is larger than this server takes."""

    status_code = 413
    default_code = "too_large"


class LengthRequired(ApiProblem):
    """A body of unknown length is not read."""

    status_code = 411
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class MalformedBody(ApiProblem):
    """The body is not JSON as RFC 8259 has it."""

    status_code = 400
    default_code = "malformed_json"


class UnstorableBody(ApiProblem):
    """The body is JSON, and holds what cannot be kept."""

    status_code = 400
    default_code = "invalid"
    default_detail = "The body holds values that cannot be stored."


class StrictJsonParser(BaseParser):
    """JSON in UTF-8: no NaN, no NUL, no repeated keys, no boundless nesting or size."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        objects = _Objects()
        value = _value(_text(_limited(stream)), objects)
        problems = storable_problems(value, max_depth=MAX_DEPTH)
        if problems := problems or objects.repetitions(value):
            raise UnstorableBody(errors=problems)
        return value


def require_length(meta: Mapping[str, Any]) -> None:
    """Refuse a body without a length: it would count as empty, silently."""
    if meta.get("HTTP_TRANSFER_ENCODING") and not meta.get("CONTENT_LENGTH"):
        raise LengthRequired


def _limited(stream: IO[Any]) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    announced = getattr(stream, "META", {}).get("CONTENT_LENGTH") or 0
    if int(announced) > limit:
        raise _too_large(limit)
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body has at most {limit:,} bytes.")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"The body is not UTF-8: byte {error.start} cannot be read."
        ) from error


def _value(text: str, objects: _Objects) -> Any:
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=objects.made
        )
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"The body is not JSON: {error.msg} in line {error.lineno}, "
            f"column {error.colno}."
        ) from error
    except RecursionError as error:
        detail = f"Values may be nested {MAX_DEPTH} deep, not deeper."
        raise UnstorableBody(errors=[Problem("", "too_deep", detail)]) from error
    except ValueError as error:  # more digits than Python converts
        raise MalformedBody("A number in the body is too long.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"The body is not JSON: {name} is not a JSON value.")


class _Objects:
    """Makes the parser's objects, and remembers those that repeat a key."""

    def __init__(self) -> None:
        self._repeating: dict[int, tuple[str, dict[str, Any]]] = {}

    def made(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            key = max(counts, key=counts.__getitem__)
            self._repeating[id(value)] = (key, value)
        return value

    def repetitions(self, value: Any) -> list[Problem]:
        """Find the places of the repeated keys in what was read."""
        return list(self._repeated_in(value, "")) if self._repeating else []

    def _repeated_in(self, value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, list):
            for place, item in enumerate(value):
                yield from self._repeated_in(item, child(pointer, place))
        elif isinstance(value, dict):
            if id(value) in self._repeating:
                key, _ = self._repeating[id(value)]
                detail = f"The key {key!r} stands here more than once."
                yield Problem(child(pointer, key), "duplicate_key", detail)
            for key, item in value.items():
                yield from self._repeated_in(item, child(pointer, key))
