"""
Code mode: one tool that runs a program, and the program calls the other tools.

Each call inside goes to the host under an id of its own, so that a program that is run
again after a crash finds what it had done.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from roles.runners.agent.course import Course
from roles.runners.agent.settings import AgentSettings, CodeMode
from roles.runners.agent.texts import fit
from roles.runners.codemode import Limits, ProgramResult, run_program, stubs
from roles.runners.codemode import instructions as rules
from roles.runners.hosting import Memory, OfferedTool, Refusal

RUN_CODE = "run_code"

_SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "the program"}},
    "required": ["code"],
}


class Programs:
    """Runs the programs of one agent."""

    def __init__(
        self,
        course: Course,
        settings: AgentSettings,
        memory: Memory,
        awaited: frozenset[str],
    ) -> None:
        self._course, self._memory, self._awaited = course, memory, awaited
        self._limits = _limits(settings.code_mode)

    def as_tool(self) -> OfferedTool:
        """Describe the tool that runs programs, with all that they may call."""
        tools = self._course.tools
        return OfferedTool(
            name=RUN_CODE,
            model_name=RUN_CODE,
            description=f"{rules(tools, self._limits)}\n\n{stubs(tools)}",
            schema=_SCHEMA,
        )

    async def run(self, call_id: str, program: str) -> Any:
        """Run a program, or return what the same call came to before."""
        if call_id in self._memory.results:
            return _told(self._memory.results[call_id])
        times: Counter[str] = Counter()

        async def call(name: str, arguments: Any) -> Any:
            if name in self._awaited:
                raise Refusal(
                    f"{name} waits for a person; call it directly, outside a program."
                )
            given = fit(arguments)
            what = _digest(name, given)
            times[what] += 1
            return await self._course.host.call_tool(
                name, f"{call_id}:{what}:{times[what]}", given
            )

        done = await run_program(program, self._course.tools, call, limits=self._limits)
        kept = _kept(program, done)
        await self._course.host.keep("code", call_id, kept)
        return _told(kept)


def _digest(name: str, arguments: Any) -> str:
    """Name a call by its content: calls side by side come in another order each time."""
    text = json.dumps([name, arguments], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _limits(given: bool | CodeMode) -> Limits:
    if isinstance(given, bool):
        return Limits()
    return Limits(**given.model_dump(exclude_none=True))


def _kept(program: str, done: ProgramResult) -> dict[str, Any]:
    calls: Sequence[Any] = [dict(each) for each in done.calls]
    kept = {
        "program": program,
        "output": done.output,
        "result": done.result,
        "error": dict(done.error) if done.error else None,
        "calls": calls,
        "duration_ms": done.duration_ms,
    }
    return dict(fit(kept))


def _told(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model reads of a program's end."""
    end = "error" if kept.get("error") else "result"
    told = {end: kept.get(end)}
    return {"output": kept["output"], **told} if kept.get("output") else told
