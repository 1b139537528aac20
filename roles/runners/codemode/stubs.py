"""
What a program may call, written as Python: for the model, and for the type checker.

Texts and names of tools may come from strangers: they end up in docstrings, in
literals and as checked names, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roles.runners.codemode.annotations import (
    OBJECT,
    Annotations,
    required_of,
    takes_null,
)
from roles.runners.codemode.naming import Modules, is_name, modules
from roles.runners.codemode.programs import Limits
from roles.runners.hosting import OfferedTool

DESCRIPTION_CHARS = 1_500
NOTE_CHARS = 300

_HEAD = """\
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict
"""
# What the interpreter has and its checker does not know of, and the reverse.
_CHECKED = """
def getattr(value: object, name: str, default: Any = None, /) -> Any: ...
def hasattr(value: object, name: str, /) -> bool: ...
compile: None
eval: None
exec: None
"""

_INSTRUCTIONS = """\
Write one Python program; it is type-checked, and then run in a sandbox of its own.
- Call tools with await at the top level or in async functions, by keyword arguments: \
{example}. {modules} there without an import. Several at once: await asyncio.gather(...).
- A call that is refused or fails raises RuntimeError; its text says why.
- print() what you want to read. The value of the last expression is the result; it \
must be JSON (null, booleans, numbers, strings, lists, dictionaries with string keys).
- No files, network, environment, threads or packages; asyncio, collections, datetime, \
itertools, json, math, re and a few more modules of the standard library are there. \
No class inheritance, generators (yield), del, eval or exec.
- Nothing is kept from one program to the next.
- Limits: {seconds:g} s in all, {calls} calls, {memory} MB, {output} characters of output."""


def stubs(tools: Sequence[OfferedTool]) -> str:
    """Describe the tools as typed classes whose instances a program finds as globals."""
    return written(modules(tools))


def written(placed: Modules) -> str:
    """Describe placed tools, as `stubs` does."""
    owners = {module: class_of(module) for module in placed}
    annotations = Annotations(tuple(owners.values()))
    bodies = [
        _class(module, owners[module], functions, annotations)
        for module, functions in placed.items()
    ]
    classes = [text for text in annotations.classes.values() if text]
    text = "\n\n".join([_HEAD, *classes, *bodies])
    return text.encode(errors="replace").decode() + "\n"


def checked(placed: Modules) -> str:
    """Describe placed tools and the few other names that the checker has to know."""
    return written(placed) + _CHECKED


def imported(placed: Modules, module: str) -> str:
    """Describe a module for a program that imports it."""
    names = [f"{each} = {module}.{each}" for each in placed[module]]
    return "\n".join([written(placed), *names, ""])


def instructions(tools: Sequence[OfferedTool], limits: Limits | None = None) -> str:
    """Tell a model what programs may be like; it stands before the stubs."""
    limits, placed = limits or Limits(), modules(tools)
    named = [module for module, functions in placed.items() if functions]
    first = named[0] if named else "system"
    function = next(iter(placed[first]), "name")
    return _INSTRUCTIONS.format(
        example=f"result = await {first}.{function}(...)",
        modules=_are(named or [first]),
        seconds=limits.max_seconds,
        calls=limits.max_calls,
        memory=limits.max_memory_mb,
        output=limits.max_output_chars,
    )


def class_of(module: str) -> str:
    """Name the class of a module's only instance."""
    return "".join(word.capitalize() for word in module.split("_")) or "Module"


def named_properties(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the properties that can be keyword arguments; None asks for an `input`."""
    properties = schema.get("properties")
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        return None
    if not properties and schema.get("additionalProperties", True) is not False:
        return None
    names = all(isinstance(name, str) and is_name(name) for name in properties)
    return properties if names and "self" not in properties else None


def droppable(schema: Mapping[str, Any]) -> frozenset[str]:
    """Name the arguments for which None says that they are left out."""
    required = required_of(schema)
    return frozenset(
        name
        for name, each in (named_properties(schema) or {}).items()
        if name not in required and not takes_null(each)
    )


def _class(
    module: str,
    owner: str,
    functions: Mapping[str, OfferedTool],
    annotations: Annotations,
) -> str:
    methods = [
        _method(name, tool, annotations, f"{owner}_{name}")
        for name, tool in functions.items()
    ]
    body = "\n\n".join(methods) or "    pass"
    return f"class {owner}:\n{body}\n\n{module}: {owner}"


def _method(name: str, tool: OfferedTool, annotations: Annotations, hint: str) -> str:
    parameters = _parameters(tool.schema, annotations, hint)
    doc = _docstring(tool)
    return f"    async def {name}(self{parameters}) -> Any:\n{doc}"


def _parameters(schema: Mapping[str, Any], annotations: Annotations, hint: str) -> str:
    if named_properties(schema) is None:
        kind = annotations.whole(schema, f"{hint}_input")
        is_object = schema.get("type", "object") == "object"
        optional = is_object and not required_of(schema)
        return f", input: {kind}" + (" = {}" if optional and OBJECT in kind else "")
    needed, optionals = [], []
    for name, kind, is_required in annotations.properties(schema, hint):
        if is_required:
            needed.append(f"{name}: {kind}")
            continue
        kind = kind if kind == "Any" or kind.endswith("None") else f"{kind} | None"
        optionals.append(f"{name}: {kind} = None")
    both = [*needed, *optionals]
    named_only = ["*"] if len(both) > 1 else []
    return "".join(f", {each}" for each in [*named_only, *both])


def _docstring(tool: OfferedTool) -> str:
    lines = [_plain(tool.description or tool.name, DESCRIPTION_CHARS)]
    for name, each in (named_properties(tool.schema) or {}).items():
        note = each.get("description") if isinstance(each, Mapping) else None
        if note:
            lines.append(f"{name}: {_plain(str(note), NOTE_CHARS)}")
    each = [line.strip() for line in "\n".join(lines).split("\n")]
    text = "\n".join(f"        {line}" if line else "" for line in each)
    return f'        """{text.strip()}"""'


def _plain(text: str, most: int) -> str:
    """Keep a text inside of its docstring."""
    text = text.strip().replace("\0", "").replace("\r", "\n")
    text = text if len(text) <= most else text[: most - 3] + "..."
    return text.replace("\\", "/").replace('"', "'")


def _are(names: Sequence[str]) -> str:
    *rest, last = [f"`{name}`" for name in names]
    return f"{', '.join(rest)} and {last} are" if rest else f"{last} is"
