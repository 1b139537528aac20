"""
What an agent asks of whoever runs its step: memory, models, money and tools.

The engine is the host in a worker; a runner knows it by these few verbs and never
learns where anything is kept. `Alone` is the host of an agent outside of any engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

ParkedKind = Literal["provider", "budget", "approval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked before an agent goes on; `calls` are the tool calls."""

    prompt: str
    calls: Sequence[Mapping[str, Any]]  # {"call_id", "tool", "arguments"} each
    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    permission: str = ""
    timeout_ms: int | None = None


class Parked(Exception):
    """
    The step waits for something outside, and no attempt is used up.

    `after_s` is when it is to be looked at again, in seconds; without one somebody has
    to act. It raises through the runner as it is: no failure, and no result.
    """

    def __init__(
        self,
        detail: str,
        *,
        kind: ParkedKind,
        after_s: float | None = None,
        question: Question | None = None,
        budget: str = "",
    ) -> None:
        super().__init__(detail)
        self.detail, self.kind, self.budget = detail, kind, budget
        self.after_s, self.question = after_s, question


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    A model that may be asked: how to reach it, what it can do and costs.

    Prices are in USD for a million tokens, None where nobody knows. `credential` is the
    secret itself, where the model has one of its own; it is never shown.
    """

    name: str  # provider:model
    provider: str
    model: str
    api: str  # openai, openai-responses, anthropic, google, demo
    base_url: str = ""
    credential: str = field(default="", repr=False)
    credential_name: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None

    @property
    def key(self) -> str:
        """Name what a provider limits together: itself, the model, the credential."""
        return f"{self.provider}:{self.model}:{self.credential_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the work at hand takes of a model, besides the role's own constraints."""

    capabilities: frozenset[str] = frozenset()  # tools, structured_output, ...
    context_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The models to ask, in this order; `digest` leads to why, if that is on record."""

    offers: Sequence[Offer]
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call may come to at most, as far as that can be told before it."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """
    Leave to ask a model once; it has to be ended, one way or the other.

    The `offer` may be a cheaper one than was asked for: it is the one to ask.
    """

    offer: Offer
    call_id: str
    reserved: bool = False
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUsage:
    """What one call of a model took."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    tool_calls: int = 0  # that the answer asks for


class Busy(Exception):
    """A model is not to be asked before `after_s` seconds; another one may be."""

    def __init__(self, detail: str, *, after_s: float) -> None:
        super().__init__(detail)
        self.detail, self.after_s = detail, after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTool:
    """A tool that the role was granted, as the model is told of it."""

    name: str  # such as "system.create_role"
    model_name: str  # as providers take it
    description: str
    schema: Mapping[str, Any]
    needs_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """
    What earlier attempts of the step left behind.

    `messages` are those of the model and to it, as pydantic-ai writes them; `results`
    are of finished tool calls and `decisions` of people, both by the call's id.
    """

    messages: Sequence[Any] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    decisions: Mapping[str, bool] = field(default_factory=dict)


class Refusal(Exception):
    """A tool call was not done; the text is for the model to read."""


class Host(Protocol):
    """The few things that an agent cannot know or do by itself."""

    async def recall(self) -> Memory:
        """Return what earlier attempts left; costs nothing at a first attempt."""

    async def select(self, needs: Needs) -> Selection:
        """Choose models for the role; raises RunnerError when none fits."""

    async def toolbox(self) -> Sequence[OfferedTool]:
        """Return the tools that the role was granted; raises RunnerError."""

    async def begin_call(self, offer: Offer, estimate: Estimate) -> Permit:
        """
        Ask for leave to call a model, and reserve what it may cost.

        Raises Busy when the model is not to be asked now, Parked when money is at an
        end and more may come, RunnerError when it will not.
        """

    async def end_call(
        self, permit: Permit, usage: CallUsage, messages: Sequence[Any]
    ) -> None:
        """Put an answer on record with the messages since the last one, and its cost."""

    async def fail_call(
        self, permit: Permit, detail: str, *, busy: bool, retry_after_s: float | None
    ) -> None:
        """
        Give a permit back: the provider did not answer.

        `busy` says that it asked to be left alone: for so long, if it said how long.
        """

    async def call_tool(self, name: str, call_id: str, arguments: Any) -> Any:
        """
        Call a tool, or return what the same call came to before; raises Refusal.

        `call_id` tells the calls of one step apart, at every attempt the same.
        """

    async def keep(self, kind: str, call_id: str, data: Mapping[str, Any]) -> None:
        """Put something else on record, such as a program and its output."""

    def say(self, text: str) -> None:
        """Pass a piece of the answer on to whoever watches."""
