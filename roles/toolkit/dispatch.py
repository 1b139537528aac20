"""
Call a tool by its name: the one way for agents, their programs and MCP clients.

What is not in the caller's box is refused, whether there is such a tool or not; each
refusal, and each call of a meta-tool, leaves an audit entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roles import audit
from roles.acting import acting_as
from roles.problems import did_you_mean
from roles.toolkit.base import Caller, Tool, ToolRefused
from roles.toolkit.threads import in_thread


async def invoke(
    name: str, arguments: Any, caller: Caller, *, box: Mapping[str, Tool]
) -> Any:
    """
    Call the tool of this name in `box`; raises ToolRefused for the caller to read.

    The arguments are checked by the tool. Other exceptions are faults of the tool.
    """
    with acting_as(caller.actor):
        try:
            tool = _found(name, arguments, box)
            result = await _call(tool, arguments, _holding(box, caller))
        except ToolRefused as refusal:
            await in_thread(
                audit.refused,
                "tool.call",
                object_type="tool",
                object_name=name,
                detail=refusal.detail,
                after={"arguments": audit.shortened(arguments)},
            )
            raise
        if tool.is_audited:
            await in_thread(
                audit.record,
                "tool.call",
                object_type="tool",
                object_name=tool.name,
                after={"arguments": audit.shortened(arguments)},
            )
        return result


def _found(name: str, arguments: Any, box: Mapping[str, Tool]) -> Tool:
    tool = box.get(name) or _by_model_name(name, box)
    if tool is None:
        hint = did_you_mean(name, box)
        raise ToolRefused(f"You have no tool {name!r}.{hint}", code="tool_not_granted")
    if not isinstance(arguments, Mapping):
        raise ToolRefused("The arguments must be an object.", code="invalid_arguments")
    return tool


def _holding(box: Mapping[str, Tool], caller: Caller) -> Caller:
    """Note what the caller was granted: nothing that it makes may have more."""
    return replace(caller, grants=frozenset(each.grant for each in box.values()))


def _by_model_name(name: str, box: Mapping[str, Tool]) -> Tool | None:
    return next((each for each in box.values() if each.model_name == name), None)


async def _call(tool: Tool, arguments: Mapping[str, Any], caller: Caller) -> Any:
    if tool.blocking:
        return await in_thread(tool.call, arguments, caller)
    return await tool.call(arguments, caller)
