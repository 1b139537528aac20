"""
Python functions as roles: write one, give it a name, use it in a step.

    from roles.functions import function

    @function("orders.total")
    def total(order, context): ...

A name is all that a role can ask for; it never becomes an import path.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter

__all__ = [
    "BadFunction",
    "FunctionContext",
    "FunctionEntry",
    "FunctionFailed",
    "FunctionModuleError",
    "NameTaken",
    "UnknownFunction",
    "function",
    "get",
    "load_modules",
    "registered",
]

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_ENTRIES: dict[str, FunctionEntry] = {}


class FunctionFailed(Exception):
    """
    Raise this inside a function to fail the step with a clear message.

    Trying again does not help unless `retryable` is set; `retry_after_s` asks
    for a pause in seconds; `type` is the word that users see in `error.type`.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "function_failed",  # noqa: A002  (the word of the error format)
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class BadFunction(TypeError):
    """A registered function has another shape; the message says what to change."""


class NameTaken(ValueError):
    """Two functions ask for one name."""


class UnknownFunction(LookupError):
    """No function has this name in this process."""


class FunctionModuleError(ImportError):
    """A module that should register functions cannot be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionContext:
    """What a function may know about the attempt that it works for."""

    execution_id: str
    step_key: str
    attempt: int  # 1 for the first
    idempotency_key: str  # the same for every attempt of this step run
    deadline: datetime  # aware; the attempt is ended at this time
    logger: Logger | LoggerAdapter[Any]

    def remaining_s(self) -> float:
        """Return the seconds left until the deadline, never below zero."""
        return max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionEntry:
    """A registered function."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    wants_context: bool
    summary: str  # the first line of its docstring
    module: str

    def invoke(self, given: Any, context: FunctionContext) -> Any:
        """Call it; the answer of an async function has to be awaited."""
        if self.wants_context:
            return self.call(given, context=context)
        return self.call(given)


def function(name: str) -> Callable[[F], F]:
    """
    Register the decorated function, sync or async, under a name for roles.

    It takes the step's input, and the FunctionContext as well when it has a
    second parameter called `context`; what it returns must be a JSON value.
    Raises BadFunction or NameTaken when the module is imported.
    """
    if not isinstance(name, str):
        raise BadFunction('Write @function("some.name"): the name is required.')
    if not _NAME.fullmatch(name):
        raise BadFunction(
            f"{name!r} cannot name a function: use lower-case letters, digits and "
            "underscores, in parts joined by dots, beginning with a letter."
        )

    def register(call: F) -> F:
        entry = _describe(name, call)
        taken = _ENTRIES.get(name)
        if taken is not None and not _same_place(taken.call, call):
            raise NameTaken(
                f"The function name {name!r} is taken by {_place(taken.call)}; "
                f"give {_place(call)} another one."
            )
        _ENTRIES[name] = entry
        return call

    return register


def registered() -> Mapping[str, FunctionEntry]:
    """Return a live, read-only view of all functions, by name."""
    return MappingProxyType(_ENTRIES)


def get(name: str) -> FunctionEntry:
    """Return the function of this name, or raise UnknownFunction."""
    entry = _ENTRIES.get(name) if isinstance(name, str) else None
    if entry is None:
        raise UnknownFunction(_unknown(name))
    return entry


def load_modules(
    paths: Iterable[str], *, setting: str = "CORE_FUNCTION_MODULES"
) -> None:
    """
    Import modules so that they register their functions.

    Raises FunctionModuleError, which names the setting and the module.
    """
    for path in paths:
        try:
            import_module(path)
        except Exception as problem:
            raise FunctionModuleError(
                f"{setting} names {path!r}, which cannot be imported: "
                f"{type(problem).__name__}: {problem}",
                name=path,
            ) from problem


def _describe(name: str, call: Callable[..., Any]) -> FunctionEntry:
    if not callable(call):
        raise BadFunction(
            f"@function({name!r}) belongs on a function, not on {call!r}."
        )
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise BadFunction(
            f"{_place(call)} is a generator; a step needs one result: return a list."
        )
    doc = inspect.getdoc(call) if inspect.isroutine(call) else None
    return FunctionEntry(
        name=name,
        call=call,
        is_async=_is_async(call),
        wants_context=_wants_context(call),
        summary=(doc or "").partition("\n")[0].strip(),
        module=getattr(call, "__module__", ""),
    )


def _is_async(call: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
        getattr(call, "__call__", None)  # noqa: B004  (its kind, not its presence)
    )


def _wants_context(call: Callable[..., Any]) -> bool:
    signature = inspect.signature(call)
    wants = "context" in signature.parameters
    try:
        signature.bind(None, **({"context": None} if wants else {}))
    except TypeError:
        raise BadFunction(
            f"{_place(call)} takes {signature}; a registered function takes "
            "(input) or (input, context)."
        ) from None
    return wants


def _same_place(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Tell whether a module was imported again rather than a name used twice."""
    return one is other or (
        _place(one) == _place(other) and "<locals>" not in _place(one)
    )


def _place(call: Callable[..., Any]) -> str:
    name = getattr(call, "__qualname__", None) or repr(call)
    return f"{getattr(call, '__module__', '?')}.{name}"


def _unknown(name: str) -> str:
    near = get_close_matches(str(name), _ENTRIES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"There is no function named {name!r}.{hint} Functions are registered with "
        "@function in an app's functions.py or a module in CORE_FUNCTION_MODULES."
    )
