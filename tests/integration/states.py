"""Executions in the states that the control verbs find them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.models import User

from executions import control, lifecycle
from executions.models import Execution
from tests.integration.engine import (
    DONE,
    FAILED,
    claimed,
    finish,
    launched,
    now_of,
    role,
    run_at,
    step,
)


def _claimed(execution: Execution) -> None:
    claimed(execution, "a")


def _between(execution: Execution) -> None:
    finish(execution, "a")


def _paused(execution: Execution) -> None:
    finish(execution, "a")
    control.pause(execution.pk, by=None)


def _completed(execution: Execution) -> None:
    finish(execution, "a")
    assert lifecycle.settle_and_complete(claimed(execution, "b"), DONE, {"b": 1})


def _failed(execution: Execution) -> None:
    finish(execution, "a")
    assert lifecycle.settle_and_fail(claimed(execution, "b"), FAILED)


def _cancelled(execution: Execution) -> None:
    assert control.terminate(execution.pk, by=None)


def _aside(execution: Execution) -> None:
    claimed(execution, "a")
    assert lifecycle.put_aside(run_at(execution, "a").pk)


WAYS: Mapping[str, Callable[[Execution], None]] = {
    "pending": lambda execution: None,
    "claimed": _claimed,  # its first step runs
    "between": _between,  # its first step is done, and nothing runs
    "paused": _paused,
    "completed": _completed,
    "failed": _failed,
    "cancelled": _cancelled,
    "aside": _aside,  # its first step needs attention
}


def brought(state: str, *, of: User | None = None, **fields: Any) -> Execution:
    """Start a chain of the steps a and b, and bring it into a state."""
    same = role()
    first = step("a", same, at_most_once=True) if state == "aside" else step("a", same)
    execution = launched(first, step("b", same), **fields)
    Execution.objects.filter(pk=execution.pk).update(created_by=of)
    WAYS[state](execution)
    return now_of(execution)
