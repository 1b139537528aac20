"""
The envelope of an agent: what the things that it makes and runs may come to.

It stands in the role's `config.policy`; what is left out takes the defaults below, and
nothing that an agent makes can have a wider one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roles.problems import Problem, child, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class BudgetLimits(BaseModel):
    """What may be spent; a limit that is left out does not count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    money: Decimal | None = Field(None, ge=0, description="US dollars")
    tokens: int | None = Field(None, ge=0)
    requests: int | None = Field(None, ge=0)


class Policy(BaseModel):
    """What an agent may make and use with its meta-tools; names may hold `*`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: tuple[str, ...] = Field(
        ("*",), description="names of roles that its steps may use, besides its own"
    )
    edits: tuple[str, ...] = Field(
        (), description="names of roles of others that it may change or delete"
    )
    kinds: tuple[str, ...] = Field(
        ("agent", "function"), description="kinds of roles that it may make"
    )
    functions: tuple[str, ...] = Field(
        ("*",), description="registered functions that its roles may call"
    )
    tools: tuple[str, ...] = Field(
        (), description="entries that its roles may have in `tools`"
    )
    models: tuple[str, ...] = Field(("*",), description="models its roles may ask")
    secrets: tuple[str, ...] = Field((), description="secrets its roles may name")
    orchestrations: tuple[str, ...] = Field(
        (), description="orchestrations of others that it may execute"
    )
    expose: bool = Field(
        False, description="its orchestrations may be tools of MCP clients"
    )
    max_roles: int = Field(20, ge=0)
    max_orchestrations: int = Field(10, ge=0)
    max_steps: int = Field(50, ge=1, description="of one orchestration")
    max_executions: int = Field(20, ge=0)
    max_fan_out: int = Field(100, ge=1)
    max_depth: int = Field(3, ge=0, description="executions below its own")
    budget: BudgetLimits = BudgetLimits()
    publish: Literal["live", "draft"] = Field(
        "live", description="`draft`: a person publishes what it makes"
    )

    @staticmethod
    def allows(patterns: Sequence[str], name: str) -> bool:
        """Tell whether a name is among those that are allowed."""
        return any(
            fnmatchcase(name, re.sub(r"([\[?])", r"[\1]", pattern))
            for pattern in patterns
        )


def policy_problems(given: Mapping[str, Any], pointer: str) -> list[Problem]:
    """List what is wrong with a policy as somebody wrote it."""
    try:
        Policy.model_validate(given)
    except ValidationError as error:
        return [
            _problem(each, pointer)
            for each in error.errors(include_url=False, include_input=False)
        ]
    return []


def _problem(error: ErrorDetails, pointer: str) -> Problem:
    place, detail, code = error["loc"], error["msg"], "invalid"
    if error["type"] == "extra_forbidden":
        known = (BudgetLimits if place[0] == "budget" else Policy).model_fields
        hint = did_you_mean(str(place[-1]), known)
        detail = f"A policy has no field {place[-1]!r}.{hint}"
        code = "unknown_field"
    return Problem(child(pointer, *place), code, detail)
