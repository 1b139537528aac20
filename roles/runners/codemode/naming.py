"""
Where a program finds each tool: as a function of a module.

`system.create_role` keeps its name; names that are no Python, such as
`function:text.upper`, become functions of the module `tools`.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Mapping, Sequence

from roles.runners.hosting import OfferedTool

SYSTEM = "system"
TOOLS = "tools"

Modules = Mapping[str, Mapping[str, OfferedTool]]  # module -> function -> tool

_TAKEN = {TOOLS, *sys.stdlib_module_names, *dir(builtins)}


def modules(tools: Sequence[OfferedTool]) -> Modules:
    """Place every tool; `system` and `tools` are there even when they are empty."""
    placed: dict[str, dict[str, OfferedTool]] = {SYSTEM: {}, TOOLS: {}}
    for tool in sorted(tools, key=lambda each: each.name):
        module, _, function = tool.name.partition(".")
        if _is_public(module) and _is_public(function) and module not in _TAKEN:
            placed.setdefault(module, {})[function] = tool
        else:
            functions = placed[TOOLS]
            functions[_free(_spelt(tool.model_name), functions)] = tool
    return placed


def is_name(text: str) -> bool:
    """Tell whether Python takes it for a name."""
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text)


def _is_public(text: str) -> bool:
    return is_name(text) and not text.startswith("_")


def _spelt(model_name: str) -> str:
    name = re.sub(r"\W", "_", model_name, flags=re.ASCII).strip("_") or "tool"
    if name[0].isdigit():
        name = f"tool_{name}"
    return name if is_name(name) else f"{name}_"


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
