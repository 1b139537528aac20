"""
`function:<name>`: a registered Python function as a tool.

Its arguments are what its first parameter is annotated with, if that is an object;
anything else is taken as `input`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NotRequired, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from roles import functions
from roles.functions import FunctionContext, FunctionEntry, FunctionFailed
from roles.problems import Problem, child
from roles.runners import RunnerError
from roles.runners.results import to_json
from roles.toolkit import Caller, Family, Tool, ToolRefused, as_arguments
from roles.toolkit.threads import in_long_thread

log = logging.getLogger(__name__)

TIME_S = 60
INPUT = "input"


def make(name: str, caller: Caller) -> list[Tool]:
    """Return the tool that a function is."""
    try:
        entry = functions.get(name)
    except functions.UnknownFunction as unknown:
        raise ToolRefused(str(unknown), code="unknown_tool") from unknown
    taken = _taken(entry)

    async def call(arguments: Mapping[str, Any], caller: Caller) -> Any:
        return await _called(entry, taken.read(arguments), caller)

    described = inspect.getdoc(entry.call) if inspect.isroutine(entry.call) else None
    return [
        Tool(
            name=f"function:{name}",
            description=described or f"The function {name}.",
            schema=taken.schema,
            call=call,
            grant=f"function:{name}",
            blocking=False,
        )
    ]


def fault(name: str) -> str | None:
    """Say why no function can have this name."""
    try:
        functions.get(name)
    except functions.UnknownFunction as unknown:
        return str(unknown)
    return None


FAMILY = Family(make=make, fault=fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What a function takes: an object of its own, or something called `input`."""

    schema: Mapping[str, Any]
    adapter: TypeAdapter[Any] | None = None
    is_whole: bool = False

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return what the function is given; raises ToolRefused for a misfit."""
        if not self.is_whole and (unknown := sorted(set(arguments) - {INPUT})):
            raise ToolRefused(
                f"There is no argument {unknown[0]!r}; give everything as `input`.",
                code="invalid_arguments",
                problems=[
                    Problem(child("", each), "invalid_arguments", "Unknown.")
                    for each in unknown
                ],
            )
        given = dict(arguments) if self.is_whole else arguments.get(INPUT)
        return given if self.adapter is None else _fitting(self.adapter, self, given)


def _fitting(adapter: TypeAdapter[Any], taken: _Taken, given: Any) -> Any:
    at = "" if taken.is_whole else f"/{INPUT}"
    try:
        read = adapter.validate_python(given)
    except ValidationError as error:
        problems = [
            Problem(child(at, *each["loc"]), "invalid_arguments", each["msg"])
            for each in error.errors(include_url=False, include_input=False)
        ]
    else:
        return read if isinstance(read, BaseModel) else given
    first = problems[0]
    raise ToolRefused(
        f"{first.pointer or 'The arguments'}: {first.detail}",
        code="invalid_arguments",
        problems=problems,
    )


_OPEN = _Taken(schema={"type": "object", "properties": {INPUT: {}}})


def _taken(entry: FunctionEntry) -> _Taken:
    return _read_from(entry.call)


@cache
def _read_from(call: Any) -> _Taken:
    try:
        named = next(iter(inspect.signature(call, eval_str=True).parameters.values()))
        if named.annotation in (Any, object, inspect.Parameter.empty):
            return _OPEN
        adapter: TypeAdapter[Any] = TypeAdapter(_as_pydantic_has_it(named.annotation))
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError, StopIteration):
        return _OPEN  # no type that JSON has
    if schema.get("properties"):
        return _Taken(schema=as_arguments(schema), adapter=adapter, is_whole=True)
    inner = {"type": "object", "properties": {INPUT: schema}, "required": [INPUT]}
    if "$defs" in schema:
        inner["$defs"] = schema.pop("$defs")
    return _Taken(schema=as_arguments(inner), adapter=adapter)


def _as_pydantic_has_it(annotation: Any) -> Any:
    """Make a TypedDict one that tells more: before 3.12 the standard one does not."""
    if not is_typeddict(annotation) or annotation.__module__ == "typing_extensions":
        return annotation
    hints = get_type_hints(annotation, include_extras=True)
    optional = annotation.__optional_keys__
    fields = {
        name: NotRequired[hint]
        if name in optional and get_origin(hint) is not NotRequired
        else hint
        for name, hint in hints.items()
    }
    return TypedDict(annotation.__name__, fields)  # type: ignore[operator]


async def _called(entry: FunctionEntry, given: Any, caller: Caller) -> Any:
    context = _context(caller)
    try:
        async with asyncio.timeout(TIME_S):
            if entry.is_async:
                output = await entry.invoke(given, context)
            else:
                output = await in_long_thread(entry.invoke, given, context)
                if inspect.isawaitable(output):
                    output = await output
        return to_json(output)
    except FunctionFailed as failure:
        raise ToolRefused(failure.message, code=failure.type) from failure
    except RunnerError as failure:  # what came back is no JSON
        raise ToolRefused(failure.message, code=failure.type) from failure
    except TimeoutError as late:
        detail = f"The function gave no answer in {TIME_S} s."
        raise ToolRefused(detail, code="timeout") from late
    except Exception as failure:
        log.exception("The function %s failed as a tool", entry.name)
        detail = f"{type(failure).__name__}: {failure}"
        raise ToolRefused(detail, code="function_failed") from failure


def _context(caller: Caller) -> FunctionContext:
    return FunctionContext(
        execution_id=caller.actor.execution_id or "",
        step_key=caller.actor.step_path.rpartition("/")[2],
        attempt=1,
        idempotency_key=caller.call_key,
        deadline=datetime.now(UTC) + timedelta(seconds=TIME_S),
        logger=log,
    )
