"""
The host of an agent outside of any engine: one model, no memory, no tools.

For scripts and tests. Nobody could take a parked step up again, so what would park it
is its failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roles.runners.base import RoleSpec, RunnerError
from roles.runners.hosting import (
    CallUsage,
    Estimate,
    Memory,
    Needs,
    Offer,
    OfferedTool,
    Parked,
    Permit,
    Refusal,
    Selection,
)

DEFAULT_MODEL = "demo:echo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the operator decides for all agents."""

    default_model: str = DEFAULT_MODEL


_configuration = Configuration()


def configure(*, default_model: str) -> None:
    """Set the model, as `provider:name`, of roles that name none."""
    global _configuration
    _configuration = Configuration(default_model=default_model)


def model_of(role: RoleSpec) -> str:
    """Return the name of the model that the role would use."""
    for key in ("model", "pinned"):
        name = role.model_constraints.get(key)
        if isinstance(name, str) and name.strip():
            return name.strip()
    return _configuration.default_model


def named(name: str) -> Offer:
    """Offer a model of which nothing but the name is known."""
    provider, _, model = name.partition(":")
    return Offer(name=name, provider=provider, model=model, api="")


def failure_of(parked: Parked) -> RunnerError:
    """Return what a step fails with when there is nobody to take it up again."""
    if isinstance(parked.__cause__, RunnerError):
        return parked.__cause__
    return RunnerError(
        f"{parked.detail} Without an engine, nothing can be waited for.",
        type="agent_parked",
        retryable=parked.kind == "provider",
        retry_after_s=parked.after_s,
    )


class Alone:
    """A `hosting.Host` that keeps nothing and allows every call of the model."""

    def __init__(self, role: RoleSpec) -> None:
        self._role = role

    async def recall(self) -> Memory:
        return Memory()

    async def select(self, needs: Needs) -> Selection:
        return Selection(offers=(named(model_of(self._role)),))

    async def toolbox(self) -> Sequence[OfferedTool]:
        return ()

    async def begin_call(self, offer: Offer, estimate: Estimate) -> Permit:
        return Permit(offer=offer, call_id="")

    async def end_call(
        self, permit: Permit, usage: CallUsage, messages: Sequence[Any]
    ) -> None:
        pass

    async def fail_call(
        self, permit: Permit, detail: str, *, busy: bool, retry_after_s: float | None
    ) -> None:
        pass

    async def call_tool(self, name: str, call_id: str, arguments: Any) -> Any:
        raise Refusal(f"You have no tool {name!r}.")

    async def keep(self, kind: str, call_id: str, data: Mapping[str, Any]) -> None:
        pass

    def say(self, text: str) -> None:
        pass
