"""
Which tools there are, and which of them an entry of a role's `tools` grants.

The meta-tools are functions with `@tool`, registered when their app is ready. Others
are made when asked for: a family, such as `function:<name>`, has a maker.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from roles.problems import Problem, child, did_you_mean
from roles.toolkit.arguments import parsed, schema_of
from roles.toolkit.base import Caller, Tool, ToolRefused
from roles.toolkit.threads import in_thread

META = "meta"

Arguments = TypeVar("Arguments", bound=BaseModel)
Maker = Callable[[str, Caller], Sequence[Tool] | Awaitable[Sequence[Tool]]]
Check = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Makes the tools of grants such as `function:<name>`, and judges the names."""

    make: Maker
    fault: Check  # what is wrong with a name in itself


_META: dict[str, Tool] = {}
_FAMILIES: dict[str, Family] = {}


def tool(
    name: str,
) -> Callable[[Callable[[Arguments, Caller], Any]], Callable[[Arguments, Caller], Any]]:
    """
    Make a function a meta-tool: `(arguments, caller)`, its docstring describes it.

    The type of `arguments` is a pydantic model; its schema is what callers see. A
    coroutine function is awaited, any other is run in a thread.
    """

    def register(
        call: Callable[[Arguments, Caller], Any],
    ) -> Callable[[Arguments, Caller], Any]:
        model = next(iter(inspect.get_annotations(call, eval_str=True).values()))
        _META[name] = Tool(
            name=name,
            description=inspect.getdoc(call) or "",
            schema=schema_of(model),
            call=lambda given, caller: call(parsed(model, given), caller),
            grant=META,
            blocking=not inspect.iscoroutinefunction(call),
            is_audited=True,
        )
        return call

    return register


def meta_tools() -> Mapping[str, Tool]:
    """Return the meta-tools by name, whoever may use them."""
    return _META


def register_family(prefix: str, family: Family) -> None:
    """Let grants that begin with `<prefix>:` be made by a family."""
    _FAMILIES[prefix] = family


def grant_problems(grants: Sequence[Any], pointer: str = "/tools") -> list[Problem]:
    """List what is wrong with the entries of a role's `tools`, in themselves."""
    found = []
    for place, grant in enumerate(grants):
        fault = _fault(grant) if isinstance(grant, str) else None
        if fault:
            found.append(Problem(child(pointer, place), "unknown_tool", fault))
    return found


def _fault(grant: str) -> str | None:
    prefix, colon, name = grant.partition(":")
    if grant == META:
        return None
    family = _FAMILIES.get(prefix) if colon else None
    if family is None:
        forms = [META, *(f"{each}:<name>" for each in sorted(_FAMILIES))]
        hint = did_you_mean(grant, [META]) if not colon else ""
        known = ", ".join(forms)
        return f"There is no tool {grant!r}.{hint} An entry is one of {known}."
    return family.fault(name)


async def granted(grants: Iterable[str], caller: Caller) -> dict[str, Tool]:
    """
    Return the tools that entries of a role's `tools` grant, by name.

    Raises ToolRefused for one that is not there, or not for the caller.
    """
    tools: dict[str, Tool] = {}
    for grant in grants:
        if grant == META:
            tools |= _META
            continue
        prefix, _, name = grant.partition(":")
        family = _FAMILIES.get(prefix)
        if family is None:
            raise ToolRefused(f"There is no tool {grant!r}.", code="unknown_tool")
        made = await _made(family, name, caller)
        tools |= {each.name: each for each in made}
    _refuse_alike(tools.values())
    return tools


def _refuse_alike(tools: Iterable[Tool]) -> None:
    """Keep names apart that would be one in the spelling that providers take."""
    seen: dict[str, str] = {}
    for each in tools:
        other = seen.setdefault(each.model_name, each.name)
        if other != each.name:
            raise ToolRefused(
                f"The tools {other!r} and {each.name!r} are both "
                f"{each.model_name!r} to a model; rename one, or grant one of them.",
                code="ambiguous_tools",
            )


async def _made(family: Family, name: str, caller: Caller) -> Sequence[Tool]:
    if inspect.iscoroutinefunction(family.make):
        tools: Sequence[Tool] = await family.make(name, caller)
    else:
        tools = await in_thread(family.make, name, caller)  # type: ignore[arg-type]
    return tools
