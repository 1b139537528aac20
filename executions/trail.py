"""Put on record who steered an execution: in the transaction that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from executions.database import one_transaction
from executions.models import Execution
from roles import audit

T = TypeVar("T")


def steering(
    execution_id: UUID, verb: str, act: Callable[[], T], *, reason: str | None
) -> T:
    """Change an execution by `act`, and note that if it says that it did something."""
    with one_transaction():
        name, before = _held(execution_id)
        done = act()
        if done:
            _, after = _held(execution_id)
            note(
                verb,
                execution_id,
                name=name,
                before=before,
                after=after,
                detail=reason or "",
            )
    return done


def note(
    verb: str,
    execution_id: object,
    *,
    name: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    detail: str = "",
) -> None:
    """Put what was done to an execution of the orchestration `name` on record."""
    audit.record(
        f"execution.{verb}",
        object_type="execution",
        object_id=execution_id,
        object_name=name,
        before=before,
        after=after,
        detail=detail,
    )


def _held(execution_id: UUID) -> tuple[str, dict[str, Any]]:
    """Read how an execution is, and hold it so; the name is its orchestration's."""
    columns = ("status", "cancel_request", "unwinding", "orchestration__name")
    rows = Execution.objects.filter(pk=execution_id).order_by()
    held = rows.select_for_update(of=("self",), no_key=True)
    for status, cancel_request, unwinding, name in held.values_list(*columns):
        return name, {
            "status": status,
            "cancel_requested": cancel_request is not None,
            "rolled_back": unwinding is not None,
        }
    return "", {}
