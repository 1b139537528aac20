"""Turn what a program passes to a tool into the tool's arguments, in JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roles.runners.base import RunnerError
from roles.runners.codemode.stubs import droppable, named_properties
from roles.runners.hosting import OfferedTool
from roles.runners.results import to_json

_OF_ROLES = "The result is not JSON"


class Unusable(Exception):
    """The arguments cannot be passed on; the text is for the program."""


def arguments_of(
    tool: OfferedTool,
    given: Sequence[Any],
    named: Mapping[str, Any],
    most: int,
) -> dict[str, Any]:
    """Return the arguments for a tool; raises Unusable."""
    positional, keywords = as_json(list(given), most), as_json(dict(named), most)
    properties = named_properties(tool.schema)
    if properties is None:
        return _single(tool, positional, keywords)
    if len(properties) == len(positional) == 1 and not keywords:
        return {next(iter(properties)): positional[0]}
    if positional:
        raise Unusable(f"{tool.name} takes keyword arguments only.")
    left_out = droppable(tool.schema)
    return {
        name: value
        for name, value in keywords.items()
        if value is not None or name not in left_out
    }


def as_json(value: Any, most: int) -> Any:
    """Return a value as JSON of at most about `most` characters; raises Unusable."""
    if not _fits(value, most):
        raise Unusable(f"It is longer than {most} characters.")
    try:
        return to_json(value)
    except RunnerError as problem:
        raise Unusable(problem.message.replace(_OF_ROLES, "It is not JSON")) from None


def _single(
    tool: OfferedTool, positional: list[Any], keywords: dict[str, Any]
) -> dict[str, Any]:
    if len(positional) > 1 or set(keywords) - {"input"} or (positional and keywords):
        raise Unusable(f"{tool.name} takes one argument, `input`.")
    value = positional[0] if positional else keywords.get("input", {})
    if tool.schema.get("type", "object") == "object" and isinstance(value, dict):
        return value
    return {"input": value}


def _fits(value: Any, most: int) -> bool:
    """Stop counting where it is too much, so that the count itself costs little."""
    left, waiting = most, [value]
    while waiting and left >= 0:
        each = waiting.pop()
        left -= len(each) + 2 if isinstance(each, str | bytes) else 2
        if isinstance(each, Mapping):
            left -= sum(len(key) if isinstance(key, str) else 0 for key in each)
            left -= len(each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple | set | frozenset):
            left -= len(each)
            waiting.extend(each) if left >= 0 else None
        elif isinstance(each, int) and each.bit_length() > 64:
            left -= each.bit_length() // 3
    return left >= 0
