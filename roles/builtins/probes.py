"""`util.*`: steps that do next to nothing, for trying out an orchestration."""

from __future__ import annotations

from typing import Any

from roles.builtins.arguments import argument
from roles.functions import FunctionContext, FunctionFailed, function


@function("util.identity")
def identity(given: Any) -> Any:
    """Return the input as it is."""
    return given


@function("util.echo")
def echo(given: Any, context: FunctionContext) -> dict[str, Any]:
    """Return {input, step_key, attempt}."""
    return {"input": given, "step_key": context.step_key, "attempt": context.attempt}


@function("util.fail")
def fail(given: Any, context: FunctionContext) -> dict[str, Any]:
    """
    Fail with `message`; `retryable` if so; `times` limits it to the first attempts.

    Once it no longer fails it returns {attempt}.
    """
    times = argument(given, "times", int, default=None)
    if times is not None and context.attempt > times:
        return {"attempt": context.attempt}
    raise FunctionFailed(
        argument(given, "message", str, default="This step fails on purpose."),
        type="failed_on_purpose",
        retryable=argument(given, "retryable", bool, default=False),
    )
