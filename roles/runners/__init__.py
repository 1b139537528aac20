"""
Who can do a step's work: one table from a role's kind to its runner.

A new kind is one entry here, made by `register_runner`, and one class with the
contract of `base.Runner`; the engine never learns which kinds there are.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from roles.runners.base import Attempt, Pool, Result, RoleSpec, Runner, RunnerError

__all__ = [
    "Attempt",
    "Pool",
    "Result",
    "RoleSpec",
    "Runner",
    "RunnerError",
    "UnknownRoleKind",
    "known_kinds",
    "register_runner",
    "runner_for",
]

_RUNNERS: dict[str, str] = {
    "agent": "roles.runners.agent.AgentRunner",
    "function": "roles.runners.function.FunctionRunner",
    "http": "roles.runners.http.HttpRunner",
}


class UnknownRoleKind(LookupError):
    """No runner is registered for this kind of role."""


def register_runner(kind: str, dotted_path: str) -> None:
    """Let roles of `kind` be done by the Runner class at `dotted_path`."""
    _RUNNERS[kind] = dotted_path
    runner_for.cache_clear()


def known_kinds() -> tuple[str, ...]:
    return tuple(sorted(_RUNNERS))


@cache
def runner_for(kind: str) -> Runner:
    """Return the one runner of a kind; it is imported at its first use."""
    try:
        module, _, name = _RUNNERS[kind].rpartition(".")
    except KeyError:
        known = ", ".join(known_kinds())
        raise UnknownRoleKind(
            f"There is no runner for roles of kind {kind!r}; known kinds: {known}."
        ) from None
    runner = getattr(import_module(module), name)()
    if not isinstance(runner, Runner):
        raise TypeError(f"{_RUNNERS[kind]} is not a roles.runners.Runner.")
    return runner
