"""
What a role's `config` says of an agent: the model's settings, limits, approvals.

Each field's description is the sentence that somebody reads who got it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roles.runners.results import pointer

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]

_OBJECT = "Give an object."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CodeMode(_Strict):
    """How far a program of the model may go."""

    max_seconds: float | None = Field(
        None, gt=0, le=3600, description="Give seconds above zero, 3600 at most."
    )
    max_calls: int | None = Field(
        None, ge=1, le=10_000, description="Give an integer from 1 to 10000."
    )
    max_memory_mb: int | None = Field(
        None, ge=1, le=4096, description="Give an integer from 1 to 4096."
    )


class Approval(_Strict):
    """Which calls wait for a person, and for whom."""

    tools: list[str] = Field([], description="Give a list of names, `*` may stand in.")
    users: list[str] = Field([], description="Give a list of users' names.")
    groups: list[str] = Field([], description="Give a list of groups' names.")
    permission: str = Field("", description="Name a permission, as `app.codename`.")
    timeout_ms: int | None = Field(
        None, ge=1, description="Give milliseconds, an integer above zero."
    )
    prompt: str = Field("", max_length=10_000, description="Give a text.")


class AgentSettings(_Strict):
    """The `config` of a role of kind `agent`."""

    temperature: float | None = Field(
        None, ge=0, le=2, description="Give a number from 0 to 2."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Give a number above 0, 1 at most."
    )
    max_tokens: int | None = Field(
        None, ge=1, le=10**7, description="Give an integer above zero."
    )
    seed: int | None = Field(None, description="Give an integer.")
    stop: list[str] | None = Field(
        None, min_length=1, max_length=16, description="Give a list of 1 to 16 texts."
    )
    thinking: bool | Effort | None = Field(
        None,
        description=(
            "Give true, false, or an effort: `minimal`, `low`, `medium`, `high`, "
            "`xhigh` or `max`."
        ),
    )
    parallel_tool_calls: bool | None = Field(None, description="Give true or false.")
    stream: bool = Field(False, description="Give true or false.")
    code_mode: bool | CodeMode = Field(
        False, description="Give true, false, or an object of limits."
    )
    max_requests: int = Field(
        30, ge=1, le=1000, description="Give an integer from 1 to 1000."
    )
    max_tool_calls: int = Field(
        100, ge=0, le=10_000, description="Give an integer from 0 to 10000."
    )
    max_total_tokens: int | None = Field(
        None, ge=1, description="Give an integer above zero."
    )
    max_repairs: int = Field(1, ge=0, le=5, description="Give an integer from 0 to 5.")
    approval: Approval | None = Field(None, description=_OBJECT)
    # Judged where it is used.
    policy: dict[str, Any] | None = Field(None, description=_OBJECT)


def settings_of(config: Mapping[str, Any]) -> AgentSettings:
    """Read a role's `config`; raises ValidationError."""
    return AgentSettings.model_validate(dict(config))


def setting_problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what is wrong with a role's `config`, each with its JSON pointer."""
    try:
        settings_of(config)
    except ValidationError as error:
        found = [_problem(each["loc"], each["type"]) for each in error.errors()]
        return _innermost(list(dict.fromkeys(found)))
    return []


def _innermost(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what is only a shadow of a fault further inside: of a union's member."""
    places = [place for place, _ in found]
    return [
        (place, sentence)
        for place, sentence in found
        if not any(other.startswith(f"{place}/") for other in places)
    ]


def _problem(location: tuple[int | str, ...], type_: str) -> tuple[str, str]:
    """Say it with the words of the innermost field; a union names its members too."""
    model: Any = AgentSettings
    place, sentence = "/config", _OBJECT
    for part in location:
        field = model.model_fields.get(part) if model else None
        if field is not None:
            place, sentence = pointer(place, part), field.description or sentence
            model = _inside(field.annotation)
        elif isinstance(part, int):
            place = pointer(place, part)
        elif model and type_ == "extra_forbidden" and part != model.__name__:
            names = ", ".join(f"`{name}`" for name in sorted(model.model_fields))
            return pointer(place, part), f"{_subject(model)} takes {names}."
    return place, sentence


def _inside(annotation: Any) -> type[BaseModel] | None:
    members = [annotation, *getattr(annotation, "__args__", ())]
    models = (CodeMode, Approval)
    return next((each for each in models if each in members), None)


def _subject(model: type[BaseModel]) -> str:
    return {"CodeMode": "Code mode", "Approval": "An approval"}.get(
        model.__name__, "An agent"
    )
