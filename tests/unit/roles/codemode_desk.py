"""The other side of a program in tests: its tools, and whoever answers its calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from roles.runners.codemode import Limits, ProgramResult, run_program
from roles.runners.hosting import OfferedTool, Refusal

STEP = {
    "type": "object",
    "title": "Step",
    "properties": {
        "key": {"type": "string"},
        "kind": {"enum": ["one", "many"]},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
    },
    "required": ["key"],
}
CREATE = {
    "type": "object",
    "$defs": {"Step": STEP},
    "properties": {
        "name": {"type": "string", "description": "what people call it"},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "timeout_ms": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["name"],
}
EXECUTE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "input": {}},
    "required": ["name"],
}
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}


def offered(name: str, schema: Mapping[str, Any], about: str = "") -> OfferedTool:
    model_name = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return OfferedTool(
        name=name, model_name=model_name, description=about, schema=schema
    )


TOOLS = (
    offered("system.create_orchestration", CREATE, "Make an orchestration."),
    offered("system.execute_orchestration", EXECUTE, "Start one."),
    offered("function:text.upper", TEXT),
    offered("http:weather", {}),
)


class Desk:
    """Answers calls, refuses what it does not know, and remembers all of it."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._answers = answers

    async def __call__(self, name: str, arguments: Any) -> Any:
        self.asked.append((name, arguments))
        if name not in {tool.name for tool in TOOLS}:
            raise Refusal(f"You have no tool {name!r}.")
        answer = self._answers.get(name.rpartition(".")[2], {"id": "7"})
        await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer(arguments) if callable(answer) else answer


def ran(code: str, desk: Any = None, **limits: Any) -> ProgramResult:
    """Run a program by itself, in an event loop of its own."""
    call = Desk() if desk is None else desk
    return asyncio.run(run_program(code, TOOLS, call, limits=Limits(**limits)))


def failed(code: str, desk: Any = None, **limits: Any) -> tuple[str, str, int | None]:
    """Run a program that has to come to an error: its type, message and line."""
    error = ran(code, desk, **limits).error
    assert error is not None
    return error["type"], error["message"], error["line"]
