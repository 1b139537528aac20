"""
A model without a network, for trying things out: `demo:echo` and `demo:writer`.

It understands nothing. The same input always gives the same answer, text says that
it is a demo, and a wanted schema is filled with plausible values.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from roles.runners.agent.demo_values import fill

MARK = "[demo]"
GIST_LENGTH = 280

_WORD = re.compile(r"\s*\S+\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def demo_model(flavour: str) -> FunctionModel:
    """Return the demo model of a flavour, `echo` or `writer`."""
    write = {"echo": _echo, "writer": _draft}[flavour]

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        text = _asked(messages)
        if info.output_tools:
            tool = info.output_tools[0]
            values = fill(tool.parameters_json_schema, said(text))
            return ModelResponse(parts=[ToolCallPart(tool.name, values)])
        return ModelResponse(parts=[TextPart(write(text, info.instructions or ""))])

    async def pieces(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        for part in answer(messages, info).parts:
            if isinstance(part, ToolCallPart):
                call = DeltaToolCall(
                    name=part.tool_name, json_args=part.args_as_json_str()
                )
                yield {0: call}
            elif isinstance(part, TextPart):
                for word in _WORD.findall(part.content):
                    yield word

    return FunctionModel(answer, stream_function=pieces, model_name=f"demo:{flavour}")


def gist(text: str) -> str:
    """Return the beginning of what an input says."""
    text = said(text)
    return text if len(text) <= GIST_LENGTH else f"{text[:GIST_LENGTH].rstrip()}…"


def said(text: str) -> str:
    """Return an input's texts: for JSON, the values without the keys."""
    with suppress(ValueError):
        text = " / ".join(_leaves(json.loads(text)))
    return " ".join(text.replace(f"{MARK} ", "").split())


def _echo(text: str, instructions: str) -> str:
    task = _SENTENCE_END.split(instructions.strip(), maxsplit=1)[0].rstrip(".!?")
    return f"{MARK} {task}: {gist(text)}" if task else f"{MARK} {gist(text)}"


def _draft(text: str, instructions: str) -> str:
    subject = gist(text).rstrip(".…")
    return (
        f"{MARK} Here is a first draft about: {subject}.\n\n"
        "It opens with what the reader needs to know, goes through the main points "
        "one by one, and ends with what to do next.\n\n"
        "A real model would write this from the role's prompt "
        f"({len(instructions.split())} words) and its input "
        f"({len(text.split())} words)."
    )


def _asked(messages: list[ModelMessage]) -> str:
    parts = [
        part.content
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart) and isinstance(part.content, str)
    ]
    return parts[-1] if parts else ""


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)
