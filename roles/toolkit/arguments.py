"""
Arguments of tools, read from what a caller sent, and the schemas that callers see.

Providers want an object at the top and no references; so what pydantic refers to is
put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from roles.problems import Problem, child, did_you_mean
from roles.storable import storable_problems
from roles.toolkit.base import ToolRefused


class Arguments(BaseModel):
    """The arguments of a tool; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_defaults(schema: dict[str, Any]) -> None:
    """Show no defaults of the fields of a change: who filled them in would undo more."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Document(BaseModel):
    """
    A document among the arguments: described here, judged by its own checks.

    So callers hear of it what REST would say, everything at once. `sent` is the
    document as it came.
    """

    model_config = ConfigDict(extra="forbid")

    _sent: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _as_it_came(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, Mapping):
            return handler(given)
        made: Any = cls.model_construct()
        made._sent = dict(given)
        return made  # type: ignore[no-any-return]

    @property
    def sent(self) -> dict[str, Any]:
        return self._sent


Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model], given: Mapping[str, Any]) -> Model:
    """Read arguments; raises ToolRefused with every misfit and its place."""
    problems = storable_problems(given)
    if not problems:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            problems = [
                _problem(model, each)
                for each in error.errors(include_url=False, include_input=False)
            ]
    first = problems[0]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    raise ToolRefused(
        f"{first.pointer or 'The arguments'}: {first.detail}{more}",
        code="invalid_arguments",
        problems=problems,
    )


def _problem(model: type[BaseModel], error: ErrorDetails) -> Problem:
    place, detail = error["loc"], error["msg"]
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(place[-1]), model.model_fields)
        known = ", ".join(model.model_fields) or "none"
        detail = f"There is no such argument.{hint} Known: {known}."
    elif error["type"] == "missing":
        detail = "This argument is required."
    return Problem(child("", *place), "invalid_arguments", detail)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON Schema as callers take it."""
    return as_arguments(model.model_json_schema())


def as_arguments(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return a schema for the arguments of a tool: an object's, without references.

    What cannot be written so, such as a schema that refers to itself, is left open:
    whoever takes the arguments checks them in any case.
    """
    whole = schema or {}
    try:
        own = _Inliner(whole).inlined(whole)
    except _Unfit:
        own = {}
    for key in ("$defs", "definitions", "$schema", "$id"):
        own.pop(key, None)
    return {"properties": {}, **own, "type": "object"}


class _Unfit(ValueError):
    """A reference leads out of the schema, or around in it."""


class _Inliner:
    """Puts what references lead to in their place, up to so many nodes."""

    MOST_NODES = 20_000

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def inlined(self, node: Any, above: tuple[str, ...] = ()) -> Any:
        self._nodes += 1
        if self._nodes > self.MOST_NODES:
            raise _Unfit("too large")
        if isinstance(node, list):
            return [self.inlined(item, above) for item in node]
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            return self._instead(reference, node, above)
        return {
            key: self.inlined(value, above)
            for key, value in node.items()
            if node is not self._root or key not in {"$defs", "definitions"}
        }

    def _instead(
        self, reference: str, node: Mapping[str, Any], above: tuple[str, ...]
    ) -> Any:
        if reference in above:
            raise _Unfit(reference)
        beside = {key: value for key, value in node.items() if key != "$ref"}
        found = {**self._referred(reference), **beside}
        return self.inlined(found, (*above, reference))

    def _referred(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root if reference.startswith("#") else None
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise _Unfit(reference)
        return found
