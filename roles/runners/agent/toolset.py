"""
The tools of a run as the library calls them: each call goes to the host.

What the host refuses is told to the model, and what waits for a person is deferred.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic_ai.exceptions import ApprovalRequired, ToolFailed
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from roles.runners.agent.code import Programs
from roles.runners.agent.course import Course
from roles.runners.agent.settings import AgentSettings
from roles.runners.agent.texts import fit, shortened
from roles.runners.base import RunnerError
from roles.runners.hosting import Memory, OfferedTool, Refusal

REFUSED_BY_A_PERSON = "A person refused this call."

# The tools check their arguments themselves; a provider's word is not taken for it.
_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))
# How often a call may be malformed; the limits of requests and calls are lower.
_PATIENCE = 1_000_000


class Granted(AbstractToolset[None]):
    """The tools that the role was granted, as one run may call them."""

    def __init__(
        self,
        course: Course,
        settings: AgentSettings,
        memory: Memory,
        programs: Programs | None,
    ) -> None:
        self._course, self._memory, self._programs = course, memory, programs
        self._most_calls, self._calls = settings.max_tool_calls, 0
        self._awaited = awaited(course.tools, settings)
        # In code mode programs call the tools, but for those that wait for a person.
        self._direct = {
            tool.model_name: tool
            for tool in course.tools
            if programs is None or tool.name in self._awaited
        }
        self._tools = self._offered()

    @property
    def id(self) -> str | None:
        return "granted"

    @property
    def is_empty(self) -> bool:
        return not self._tools

    @property
    def size(self) -> int:
        """Return the characters that describe the tools in each request."""
        definitions = [tool.tool_def for tool in self._tools.values()]
        return sum(
            len(each.description or "") + len(json.dumps(each.parameters_json_schema))
            for each in definitions
        )

    def name_of(self, model_name: str) -> str:
        """Return a tool's own name."""
        return self._direct[model_name].name

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:
        return self._tools

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[None],
        tool: ToolsetTool[None],
    ) -> Any:
        """Call a tool; its refusal is a failure that the model reads."""
        call_id = ctx.tool_call_id or ""
        if name not in self._direct:
            if not self._is_done(call_id):
                self._count()
            return await self._run_code(call_id, tool_args)
        granted = self._direct[name]
        if not self._is_done(call_id):
            self._decide(granted, call_id)
            self._count()
        try:
            result = await self._course.host.call_tool(
                granted.name, call_id, fit(tool_args)
            )
        except Refusal as refusal:
            raise ToolFailed(str(refusal)) from refusal
        return shortened(result)

    async def _run_code(self, call_id: str, arguments: Mapping[str, Any]) -> Any:
        code = arguments.get("code")
        if self._programs is None or not isinstance(code, str):
            raise ToolFailed("Give the program as `code`, a text.")
        return shortened(await self._programs.run(call_id, fit(code)))

    def _is_done(self, call_id: str) -> bool:
        return call_id in self._memory.results

    def _decide(self, tool: OfferedTool, call_id: str) -> None:
        """Let a person decide about some calls, each of them once."""
        if tool.name not in self._awaited:
            return
        decision = self._memory.decisions.get(call_id)
        if decision is None:
            raise ApprovalRequired
        if not decision:
            raise ToolFailed(REFUSED_BY_A_PERSON)

    def _count(self) -> None:
        if self._calls >= self._most_calls:
            raise RunnerError(
                f"The agent would call tools more than {self._most_calls} times; "
                "`config.max_tool_calls` sets the limit.",
                type="usage_limit",
                retryable=False,
            )
        self._calls += 1

    def _offered(self) -> dict[str, ToolsetTool[None]]:
        offered = list(self._direct.values())
        if self._programs is not None:
            offered.append(self._programs.as_tool())
        return {tool.model_name: self._as_known(tool) for tool in offered}

    def _as_known(self, tool: OfferedTool) -> ToolsetTool[None]:
        return ToolsetTool(
            toolset=self,
            tool_def=ToolDefinition(
                name=tool.model_name,
                description=tool.description,
                parameters_json_schema=dict(tool.schema),
            ),
            max_retries=_PATIENCE,
            args_validator=_OBJECT,
        )


def awaited(tools: Sequence[OfferedTool], settings: AgentSettings) -> frozenset[str]:
    """Name the tools whose calls wait for a person."""
    patterns = settings.approval.tools if settings.approval else []
    return frozenset(
        tool.name
        for tool in tools
        if tool.needs_approval
        or any(
            fnmatchcase(name, pattern)
            for pattern in patterns
            for name in (tool.name, tool.model_name)
        )
    )
