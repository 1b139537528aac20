"""
Give a model a schema that it can be bound to, and take the answer back out.

Models are bound to an object, without references: any other schema is wrapped into
one, and what it refers to is put in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from roles.runners.base import RunnerError

WRAPPED = "result"
MAX_REFERENCES = 1000

Schema = Mapping[str, Any]


def for_model(schema: Schema) -> dict[str, Any]:
    """
    Return the schema of an object; the role's own schema stays as it is.

    Raises RunnerError, type `agent_misconfigured`, for a schema that refers to
    itself: no provider takes one.
    """
    own = _inlined(schema, schema, (), count(1))
    for definitions in ("$defs", "definitions"):
        own.pop(definitions, None)
    if _is_object(schema):
        return dict(own)
    return {"type": "object", "properties": {WRAPPED: own}, "required": [WRAPPED]}


def unwrapped(answer: Any, schema: Schema | None) -> Any:
    """Return what the role's own schema describes."""
    if not schema or _is_object(schema):
        return answer
    return answer.get(WRAPPED)


def _is_object(schema: Schema) -> bool:
    return schema.get("type") == "object"


def _inlined(
    node: Any, root: Schema, above: tuple[str, ...], used: Iterator[int]
) -> Any:
    if isinstance(node, list):
        return [_inlined(item, root, above, used) for item in node]
    if not isinstance(node, Mapping):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return {
            key: value
            if key in {"$defs", "definitions"}
            else _inlined(value, root, above, used)
            for key, value in node.items()
        }
    if reference in above or next(used) > MAX_REFERENCES:
        raise _refused(f"{reference!r} refers to itself, or is used too often")
    beside = {key: value for key, value in node.items() if key != "$ref"}
    found = {**_referred(root, reference), **beside}
    return _inlined(found, root, (*above, reference), used)


def _referred(root: Schema, reference: str) -> Schema:
    found: Any = root
    parts = reference.removeprefix("#").split("/")[1:]
    for part in parts:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, Mapping) else None
    if not reference.startswith("#") or not isinstance(found, Mapping):
        raise _refused(f"{reference!r} leads nowhere inside the schema")
    return found


def _refused(reason: str) -> RunnerError:
    return RunnerError(
        f"A model cannot be bound to the role's output schema: {reason}.",
        type="agent_misconfigured",
        retryable=False,
    )
