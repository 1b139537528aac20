"""What one run of an agent knows as it goes on: its host, its models, its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
)

from roles.runners.agent.deadline import seconds_left
from roles.runners.agent.memory import OUTPUT_TOOL, call_ids
from roles.runners.agent.texts import fit_response
from roles.runners.base import Attempt
from roles.runners.hosting import CallUsage, Estimate, Host, Offer, OfferedTool

CHARACTERS_PER_TOKEN = 3  # of JSON; rather too few than too many
OUTPUT_TOKENS = 4096  # of an answer whose length nobody limits
LONGEST_ID = 128  # of a tool call; a program's calls have ids that begin with it


@dataclass(slots=True, kw_only=True)
class Usage:
    """What the step took of models so far, at all of its attempts."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    tool_calls: int = 0

    def add(self, call: CallUsage) -> None:
        self.requests += 1
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.cached_tokens += call.cached_tokens
        self.reasoning_tokens += call.reasoning_tokens
        self.tool_calls += call.tool_calls

    def as_json(self, model: str) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "tool_calls": self.tool_calls,
            "model": model,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to a model: the whole history, and what of it is not on record."""

    messages: list[ModelMessage]
    fresh: bytes  # JSON of the new messages
    input_tokens: int
    max_tokens: int | None

    def estimate(self, offer: Offer) -> Estimate:
        """Tell what asking this model may come to."""
        output = self.max_tokens or offer.max_output_tokens or OUTPUT_TOKENS
        return Estimate(input_tokens=self.input_tokens, output_tokens=output)


@dataclass(slots=True, kw_only=True)
class Course:
    """The state of one run; only its own task changes it."""

    host: Host
    attempt: Attempt
    offers: Sequence[Offer]
    tools: Sequence[OfferedTool] = ()
    streams: bool = False
    fixed_size: int = 0  # characters of the schemas that go with every request
    seen: set[str] = field(default_factory=set)  # ids of tool calls
    recorded: int = 0  # messages of the history that are on record
    size: int = 0  # their characters
    usage: Usage = field(default_factory=Usage)
    model: str = ""  # that answered last

    @property
    def seconds_left(self) -> float:
        return seconds_left(self.attempt)

    def remember(
        self, recorded: Sequence[ModelMessage], history: Sequence[ModelMessage]
    ) -> None:
        """Take in what is on record, and the part of it that the run goes on from."""
        self.seen |= call_ids(recorded)
        for message in recorded:
            if isinstance(message, ModelResponse):
                self.usage.add(usage_of(message))
        self.recorded = len(history)
        self.size = len(dumped(history)) if history else 0

    def asking(self, messages: list[ModelMessage], max_tokens: int | None) -> Asked:
        """Tell the new messages of a request from those on record."""
        fresh = dumped(messages[self.recorded :])
        characters = self.fixed_size + self.size + len(fresh)
        return Asked(
            messages=messages,
            fresh=fresh,
            input_tokens=characters // CHARACTERS_PER_TOKEN + 1,
            max_tokens=max_tokens,
        )

    def taken(self, response: ModelResponse) -> ModelResponse:
        """
        Return an answer that can be put on record, and its calls told apart.

        Some providers number the calls of each answer anew, some have ids that are too
        long to be kept, and some models spell a tool as people do.
        """
        response = fit_response(response)
        spelled = {tool.name: tool.model_name for tool in self.tools}
        parts = [self._told_apart(part, spelled) for part in response.parts]
        return replace(response, parts=parts)

    def count_in(self, asked: Asked, answer: bytes, offer: Offer) -> None:
        """Go on after an answer that is on record, with the messages before it."""
        self.recorded = len(asked.messages) + 1
        self.size += len(asked.fresh) + len(answer)
        self.model = offer.name

    def _told_apart(
        self, part: ModelResponsePart, spelled: Mapping[str, str]
    ) -> ModelResponsePart:
        if not isinstance(part, ToolCallPart):
            return part
        id_ = part.tool_call_id
        if id_ in self.seen or len(id_) > LONGEST_ID:
            part = replace(part, tool_call_id=f"call_{uuid4().hex}")
        self.seen.add(part.tool_call_id)
        if part.tool_name in spelled:
            part.tool_name = spelled[part.tool_name]
        return part


def dumped(messages: Sequence[ModelMessage]) -> bytes:
    """Write messages as they go on record."""
    return ModelMessagesTypeAdapter.dump_json(list(messages))


def usage_of(response: ModelResponse) -> CallUsage:
    """Return what an answer took; tokens from a cache are among the input's."""
    usage = response.usage
    reasoning = usage.output_reasoning_tokens or usage.details.get("reasoning_tokens")
    return CallUsage(
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=reasoning or 0,
        tool_calls=sum(call.tool_name != OUTPUT_TOOL for call in response.tool_calls),
    )
