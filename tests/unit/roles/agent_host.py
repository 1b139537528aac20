"""A scripted host of agents, and scripted models, for the tests of the runner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import count
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

from roles.runners.hosting import (
    Busy,
    Memory,
    Offer,
    OfferedTool,
    Permit,
    Refusal,
    Selection,
)

OBJECT = {"type": "object"}


class ScriptedHost:
    """Allows what its test says, does tool calls by functions, and notes everything."""

    def __init__(
        self,
        *models: str,
        tools: dict[str, Callable[..., Any]] | None = None,
        awaited: tuple[str, ...] = (),
        memory: Memory | None = None,
    ) -> None:
        self.offers = [offer(name) for name in models or ("test:a",)]
        self.tools, self.awaited = tools or {}, awaited
        self.memory = memory or Memory()
        self.busy: dict[str, float] = {}
        self.refusing: dict[str, Exception] = {}
        self.cheaper: dict[str, str] = {}  # offers that are replaced by others
        self.slow_s = 0.0
        self.needs: Any = None
        self.begun: list[tuple[str, Any]] = []
        self.ended: list[tuple[str, Any]] = []
        self.failed: list[tuple[str, bool, float | None]] = []
        self.messages: list[Any] = []
        self.called: list[tuple[str, str, Any]] = []
        self.results: dict[str, Any] = dict(self.memory.results)
        self.kept: list[tuple[str, str, Any]] = []
        self.said: list[str] = []
        self.open: set[str] = set()
        self._numbers = count(1)

    def next_memory(self, **decisions: bool) -> Memory:
        """Return what the next attempt would find."""
        record = json.loads(json.dumps(self.messages))
        return Memory(
            messages=[*self.memory.messages, *record],
            results=dict(self.results),
            decisions={**self.memory.decisions, **decisions},
        )

    async def recall(self):
        return self.memory

    async def select(self, needs):
        self.needs = needs
        return Selection(offers=self.offers)

    async def toolbox(self):
        return [
            OfferedTool(
                name=name,
                model_name=name.replace(".", "_").replace(":", "_"),
                description=f"Does {name}.",
                schema=OBJECT,
                needs_approval=name in self.awaited,
            )
            for name in self.tools
        ]

    async def begin_call(self, offer, estimate):
        await asyncio.sleep(self.slow_s)
        if offer.name in self.refusing:
            raise self.refusing[offer.name]
        if offer.name in self.busy:
            raise Busy(f"{offer.name} is busy", after_s=self.busy[offer.name])
        wanted = self.cheaper.get(offer.name, offer.name)
        offer = next((each for each in self.offers if each.name == wanted), offer)
        self.begun.append((offer.name, estimate))
        permit = Permit(offer=offer, call_id=str(next(self._numbers)))
        self.open.add(permit.call_id)
        return permit

    async def end_call(self, permit, usage, messages):
        await asyncio.sleep(self.slow_s)
        json.dumps(messages)
        self.open.remove(permit.call_id)
        self.ended.append((permit.offer.name, usage))
        self.messages += messages

    async def fail_call(self, permit, detail, *, busy, retry_after_s):
        await asyncio.sleep(self.slow_s)
        self.open.remove(permit.call_id)
        self.failed.append((permit.offer.name, busy, retry_after_s))

    async def call_tool(self, name, call_id, arguments):
        if call_id in self.results:
            return self.results[call_id]
        self.called.append((name, call_id, arguments))
        if name not in self.tools:
            raise Refusal(f"You have no tool {name!r}.")
        result = self.tools[name](**arguments)
        if asyncio.iscoroutine(result):
            result = await result
        self.results[call_id] = result
        return result

    async def keep(self, kind, call_id, data):
        json.dumps(data)
        self.kept.append((kind, call_id, data))

    def say(self, text):
        self.said.append(text)


class Script:
    """What a model answers, one after the other, and what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def __call__(self, messages, info):
        self.asked.append((messages, info))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, str):
            return answered(answer)
        if isinstance(answer, dict):
            return calls((info.output_tools[0].name, answer, None))
        return await answer() if callable(answer) else answer

    def told(self, place: int = -1) -> str:
        """Return what the model was told last at one of its requests, as text."""
        return str(self.asked[place][0][-1].parts)


def offer(name: str, **fields: Any) -> Offer:
    provider, _, model = name.partition(":")
    return Offer(name=name, provider=provider, model=model, api="", **fields)


def calls(*named: Any, text: str = "") -> ModelResponse:
    """Answer with calls: a name, or a tuple of name, arguments and id, each."""
    parts: list[Any] = [TextPart(text)] if text else []
    for each in named:
        name, arguments, call_id = (each, {}, None) if isinstance(each, str) else each
        more = {"tool_call_id": call_id} if call_id else {}
        parts.append(ToolCallPart(name, arguments, **more))
    return ModelResponse(parts=parts)


def answered(*parts: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(each) for each in parts])
