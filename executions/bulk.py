"""
One control verb for many executions: each by itself, and the oldest first.

What was done stays done, whatever comes of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from executions import control, copies
from executions.control import Refused
from executions.copies import UNCHANGED, NotCopyable
from executions.database import UNREACHABLE
from executions.launch import IdempotencyConflict, InvalidInput, NotRunnable
from executions.models import Execution

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

log = logging.getLogger(__name__)

LIMIT = 1_000

CONTROLS: Mapping[str, Callable[..., bool]] = {
    "cancel": control.cancel,
    "terminate": control.terminate,
    "pause": control.pause,
    "resume": control.resume,
    "retry": control.retry,
}
RERUN = "rerun"
VERBS = (*CONTROLS, RERUN)

# How the domain says no, and the code of those that carry none themselves.
REFUSALS = (Refused, NotCopyable, NotRunnable, InvalidInput, IdempotencyConflict)
_CODES: Mapping[type[Exception], str] = {
    NotRunnable: "not_runnable",
    InvalidInput: "invalid",
    IdempotencyConflict: "idempotency_key_reused",
}
# Of a database that is there, but could not get at one row: a lock that was not to
# be had, a statement that took too long, a deadlock.
_BUSY = frozenset({"55P03", "57014", "40P01"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, by whom and why; reruns may get another input or version."""

    verb: str
    by: str | None
    user: User | None = None
    reason: str | None = None
    input: Any = UNCHANGED
    version: int | None = None


class Came(StrEnum):
    """What came of an order for one execution."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What came of one execution; `made` is its copy, if the verb makes one."""

    id: UUID
    came: Came
    made: UUID | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of all; `remaining` matched too, and were left for another call."""

    matched: int
    remaining: int
    items: list[Item] = field(default_factory=list)

    def count(self, came: Came) -> int:
        return sum(item.came is came for item in self.items)

    @property
    def refused(self) -> list[Item]:
        return [item for item in self.items if item.came is Came.REFUSED]


def apply(
    order: Order, executions: QuerySet[Execution], *, dry_run: bool = False
) -> Report:
    """Do it for the oldest of these executions, at most LIMIT of them."""
    matched = executions.count()
    items = [] if dry_run else list(each(order, oldest(executions)[:LIMIT]))
    return Report(matched=matched, remaining=max(0, matched - LIMIT), items=items)


def oldest(executions: QuerySet[Execution]) -> QuerySet[Execution, UUID]:
    """List the ids, which grow with time."""
    return executions.order_by("pk").values_list("pk", flat=True)


def each(order: Order, ids: Iterable[UUID]) -> Iterator[Item]:
    """
    Do it for one execution after the other, and tell what came of each.

    Raises OperationalError when the database goes away; the verbs are idempotent
    (a rerun is not), so the call can be repeated.
    """
    for execution_id in list(ids):
        yield _item(order, execution_id)


def refusal(execution_id: UUID, error: Exception) -> Item:
    """Describe why an execution was left as it is."""
    code = getattr(error, "code", None) or _CODES.get(type(error), "refused")
    return _left(execution_id, code, str(error))


def missing(execution_id: UUID) -> Item:
    """Describe an execution that is not there, or not for whoever asks."""
    detail = "There is no such execution that you may control."
    return _left(execution_id, "not_found", detail)


def _item(order: Order, execution_id: UUID) -> Item:
    try:
        if order.verb == RERUN:
            return _rerun(order, execution_id)
        act = CONTROLS[order.verb]
        did = act(execution_id, by=order.by, reason=order.reason)
    except REFUSALS as refused:
        return refusal(execution_id, refused)
    except Execution.DoesNotExist:
        return missing(execution_id)
    except UNREACHABLE as error:
        if getattr(error.__cause__, "sqlstate", None) not in _BUSY:
            raise
        return _left(execution_id, "busy", "It is being changed; try again later.")
    except Exception:
        log.exception("Execution %s: %s failed.", execution_id, order.verb)
        detail = "Something went wrong here; the log says what."
        return _left(execution_id, "internal_error", detail)
    return Item(id=execution_id, came=Came.DONE if did else Came.UNCHANGED)


def _left(execution_id: UUID, code: str, detail: str) -> Item:
    return Item(id=execution_id, came=Came.REFUSED, code=code, detail=detail)


def _rerun(order: Order, execution_id: UUID) -> Item:
    found = Execution.objects.select_related("orchestration", "version")
    made = copies.rerun(
        found.get(pk=execution_id),
        by=order.user,
        input=order.input,
        version=order.version,
    )
    return Item(id=execution_id, came=Came.DONE, made=made.pk)
