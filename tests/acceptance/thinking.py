"""Functions that stand for the agents of a pattern: each says what it was told to say.

Every call leaves a trace, and beside it what the call was given.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from roles.functions import FunctionContext, FunctionFailed, function
from tests.acceptance.work import leave_trace

_SAID = frozenset({"trace", "script", "table", "by"})


@function("think.script")
def script(given: dict[str, Any], context: FunctionContext) -> Any:
    """Answer with the next line of the `script`, and at its end with the last one."""
    number = _leave(given, context)
    lines = given["script"]
    return _said(lines[min(number, len(lines)) - 1])


@function("think.table")
def table(given: dict[str, Any], context: FunctionContext) -> Any:
    """Answer with what the `table` has for the field that `by` names."""
    _leave(given, context)
    return _said(given["table"][str(given[given["by"]])])


@function("think.sprout")
def sprout(given: dict[str, Any], context: FunctionContext) -> Any:
    """Think on: put the number of the thought behind the last one of the path."""
    _leave(given, context)
    return f"{given['path'][-1] if given['path'] else ''}{given['number']}"


def _leave(given: dict[str, Any], context: FunctionContext) -> int:
    asked = {name: value for name, value in given.items() if name not in _SAID}
    path = Path(os.environ["CORE_TEST_TRACES"]) / f"{given['trace']}.given"
    with path.open("a") as file:
        file.write(json.dumps(asked) + "\n")
    return leave_trace(given["trace"], context)


def _said(answer: Any) -> Any:
    """Give an answer; {"fail", "until", "then"} fails until there is a file."""
    if not isinstance(answer, dict) or "fail" not in answer:
        return answer
    until = Path(os.environ["CORE_TEST_TRACES"]) / answer.get("until", "never")
    if until.exists():
        return answer["then"]
    raise FunctionFailed(answer["fail"], retryable=answer.get("retryable", False))
