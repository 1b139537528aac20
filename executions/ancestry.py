"""
Executions that agents start: below their own, as its children, within limits.

A child stands under its parent's row lock when it is counted, so that calls that come
together count one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from executions.models import Execution
from executions.states import TERMINAL_EXECUTION
from roles.toolkit import BudgetLimits


class TooManyExecutions(Exception):
    """The parent has started as many executions as its agent's policy allows."""


class ParentEnded(Exception):
    """The parent has ended, or is being ended; nothing new is started below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """
    The execution and the step that start another one, and do not wait to hear of it.

    `depth` is the new one's, which spends for the key `api_key_id`; `origin` is kept
    with it. `most` is how many the parent may start so, `budget` what each may spend.
    """

    execution: UUID
    path: str
    depth: int
    api_key_id: UUID | None
    origin: Mapping[str, Any]
    most: int | None = None
    budget: BudgetLimits | None = None


def admit(parent: Parent) -> None:
    """
    See that a parent may have one more child, inside the transaction that makes it.

    Raises TooManyExecutions or ParentEnded.
    """
    rows = Execution.objects.select_for_update(no_key=True)
    row = rows.only("status", "cancel_request").get(pk=parent.execution)
    if row.status in TERMINAL_EXECUTION or row.cancel_request is not None:
        raise ParentEnded(f"Execution {parent.execution} is being ended.")
    if parent.most is None:
        return
    children = Execution.objects.filter(
        parent_execution=parent.execution, origin__kind="agent"
    )
    started = children.count()
    if started >= parent.most:
        raise TooManyExecutions(
            f"This execution has started {started} others; the policy's "
            f"max_executions allows {parent.most}."
        )
