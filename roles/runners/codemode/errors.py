"""Say what was wrong with a program so that a model can mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic_monty import (
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
    MontyTypingError,
)

from roles.problems import listing, nearest
from roles.runners.codemode.naming import Modules
from roles.runners.codemode.programs import Limits, ProgramError
from roles.runners.codemode.stubs import class_of

SHOWN = 10
MESSAGE_CHARS = 2_000
SCRIPT = "program.py"

_DIAGNOSTIC = re.compile(
    r"^program\.py:(\d+):\d+: (error|warning)\[([\w-]+)\] (.*)$", re.MULTILINE
)
_MEMBER = re.compile(
    r"(?:Object of type|Class|Module) `(\w+)` has no (?:attribute|member) `(\w+)`"
)
_NAME = re.compile(r"Name `(\w+)`")
_FOUND_IN_TYPES = "The program was not run:\n"


def error_of(failure: MontyError, placed: Modules, limits: Limits) -> ProgramError:
    """Describe what ended a program."""
    if isinstance(failure, MontyTypingError):
        return _typing(failure.display(), placed)
    if isinstance(failure, MontySyntaxError | MontyRuntimeError):
        return _raised(failure, limits)
    if isinstance(failure, MontyCrashedError):
        message = "The sandbox broke down while the program ran."
        return {"type": "Crashed", "message": message, "line": None}
    return {"type": type(failure).__name__, "message": _cut(str(failure)), "line": None}


def is_harmless(failure: MontyTypingError) -> bool:
    """Tell whether the checker only warns of what does no harm."""
    found = list(_DIAGNOSTIC.finditer(failure.display()))
    return bool(found) and all(
        each[2] == "warning" and each[3] != "unused-awaitable" for each in found
    )


def members_missed(text: str, placed: Modules) -> Iterator[tuple[str, str]]:
    """Name what the checker found that modules do not have: module and function."""
    owners = {class_of(module): module for module in placed}
    for owner, member in dict.fromkeys(_MEMBER.findall(text)):
        module = owners.get(owner, owner)
        if module in placed and not member.startswith("_"):
            yield module, member


def _typing(text: str, placed: Modules) -> ProgramError:
    found = list(_DIAGNOSTIC.finditer(text))
    lines = [f"line {each[1]}: {each[4]}.{_advice(each, placed)}" for each in found]
    more = [f"({len(lines) - SHOWN} more)"] if len(lines) > SHOWN else []
    message = "\n".join([*lines[:SHOWN], *more]) or text
    is_syntax = bool(found) and found[0][3] == "invalid-syntax"
    return {
        "type": "SyntaxError" if is_syntax else "TypeCheckError",
        "message": _cut(_FOUND_IN_TYPES + message),
        "line": int(found[0][1]) if found else None,
    }


def _advice(diagnostic: re.Match[str], placed: Modules) -> str:
    rule, text = diagnostic[3], diagnostic[4]
    if rule == "unused-awaitable":
        return " Write await before the call."
    if rule == "unresolved-import":
        return " Packages are not available."
    if rule == "unresolved-reference" and (name := _NAME.match(text)):
        return _nearest(name[1], placed)
    for module, member in members_missed(text, placed):
        functions = placed[module]
        near = _nearest(member, placed)
        return near or (f" It has: {listing(functions)}." if functions else "")
    return ""


def _nearest(name: str, placed: Modules) -> str:
    modules = {each: module for module, tools in placed.items() for each in tools}
    found = nearest(name, modules)
    return f" Did you mean {modules[found]}.{found}?" if found else ""


def _raised(
    failure: MontySyntaxError | MontyRuntimeError, limits: Limits
) -> ProgramError:
    exception, frames = failure.exception(), failure.traceback()
    line = frames[-1].line if frames else None
    text = str(exception) or type(exception).__name__
    for start, type_, message in (
        ("feed time limit", "TimeoutError", too_slow(limits)),
        ("memory limit", "MemoryError", too_large(limits)),
        ("the worker exceeded its memory", "MemoryError", too_large(limits)),
        ("suspension limit", "CallLimit", "The program asks its host for too much."),
    ):
        if text.startswith(start):
            return {"type": type_, "message": message, "line": line}
    text = text.replace("The monty syntax parser", "The sandbox's Python")
    return {"type": _name_of(exception), "message": _cut(text), "line": line}


def _name_of(exception: BaseException) -> str:
    name = type(exception).__name__
    return f"{type(exception).__module__}.{name}" if name == "error" else name


def too_slow(limits: Limits) -> str:
    return f"The program took more than {limits.max_seconds:g} s, with its calls."


def too_large(limits: Limits) -> str:
    return f"The program needs more than {limits.max_memory_mb} MB of memory."


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 3] + "..."
