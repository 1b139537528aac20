"""
Run a registered Python function as a step.

The role's `config` is {"function": name, "arguments": {optional, fixed}}.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from typing import Any

from roles import functions
from roles.functions import FunctionContext, FunctionEntry, FunctionFailed
from roles.runners.base import Attempt, Pool, Result, RoleSpec, Runner, RunnerError
from roles.runners.results import to_json

_CONFIG = {"function", "arguments"}


class FunctionRunner(Runner):
    """Calls the function that the role names."""

    def run(
        self,
        role: RoleSpec,
        input: Any,  # noqa: A002  (the contract's own word)
        attempt: Attempt,
    ) -> Result | Awaitable[Result]:
        """Call the function with the input, completed by the fixed arguments."""
        entry = _entry(role)
        given = self.given(role, input)
        context = _context(attempt)
        if entry.is_async:
            return _await(entry.invoke(given, context))
        try:
            output = entry.invoke(given, context)
        except FunctionFailed as failure:
            raise _classified(failure) from failure
        if inspect.isawaitable(output):  # a sync wrapper around an async function
            return _await(output)
        return Result(output=to_json(output))

    def given(self, role: RoleSpec, input: Any) -> Any:  # noqa: A002
        """Complete the input with the fixed arguments."""
        return with_arguments(input, role.config.get("arguments") or {})

    def pool(self, role: RoleSpec) -> Pool:
        """Async functions share an event loop; the others get a process each."""
        try:
            entry = functions.get(role.config.get("function", ""))
        except functions.UnknownFunction:
            return "cpu"
        return "io" if entry.is_async else "cpu"

    def problems(self, role: RoleSpec) -> list[tuple[str, str]]:
        return [
            *_name_problems(role.config),
            *_argument_problems(role.config),
            *(
                (f"/config/{key}", "A function role takes `function` and `arguments`.")
                for key in sorted(set(role.config) - _CONFIG)
            ),
        ]


def with_arguments(given: Any, arguments: Mapping[str, Any]) -> Any:
    """
    Complete a step's input with the role's fixed arguments.

    They are defaults: in an object, the step's input wins. No input leaves the
    arguments alone, and any other value joins them as `value`. Without arguments
    the input is handed on as it is.
    """
    if not arguments:
        return given
    if given is None:
        return dict(arguments)
    if isinstance(given, dict):
        return {**arguments, **given}
    return {**arguments, "value": given}


async def _await(answer: Awaitable[Any]) -> Result:
    try:
        return Result(output=to_json(await answer))
    except FunctionFailed as failure:
        raise _classified(failure) from failure


def _entry(role: RoleSpec) -> FunctionEntry:
    try:
        return functions.get(role.config.get("function", ""))
    except functions.UnknownFunction as problem:
        raise RunnerError(
            str(problem), type="unknown_function", retryable=False
        ) from problem


def _context(attempt: Attempt) -> FunctionContext:
    return FunctionContext(
        execution_id=attempt.execution_id,
        step_key=attempt.step_key,
        attempt=attempt.number,
        idempotency_key=attempt.idempotency_key,
        deadline=attempt.deadline,
        logger=attempt.logger,
    )


def _classified(failure: FunctionFailed) -> RunnerError:
    return RunnerError(
        failure.message,
        type=failure.type,
        retryable=failure.retryable,
        retry_after_s=failure.retry_after_s,
    )


def _name_problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = config.get("function")
    if not isinstance(name, str) or not name:
        return [("/config/function", "Name the registered function to call.")]
    try:
        functions.get(name)
    except functions.UnknownFunction as problem:
        return [("/config/function", str(problem))]
    return []


def _argument_problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    arguments = config.get("arguments")
    if arguments is None or isinstance(arguments, Mapping):
        return []
    return [("/config/arguments", "The fixed arguments must be an object.")]
