"""
The envelope of an agent: what the things that it makes and runs may come to.

It stands in the role's `config.policy`; what is left out takes the defaults below, and
nothing that an agent makes can have a wider one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
        return any(fnmatchcase(name, pattern) for pattern in patterns)
