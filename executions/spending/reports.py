"""
What was spent: of a step, an attempt, an execution and all below it, and in groups.

Sums are made by the database from the ledger alone, which outlives executions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from core_orchestration.models import Orchestration
from executions.database import fetch
from executions.models import Spending
from executions.spending.usage import NUMBERS, Usage, together
from roles.models import ApiKey

MOST_GROUPS = 1_000
# Each dimension, and the columns of the ledger that tell its members apart.
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "day": ("day",),
    "role": ("role_id", "role_name"),
    "orchestration": ("orchestration_id",),
    "execution": ("execution_id",),
    "api_key": ("api_key_id",),
    "user": ("created_by_id",),
    "provider": ("provider",),
    "model": ("provider", "model"),
}
# What is summed; `cost` of what has a price.
_SUMS: Mapping[str, Any] = {
    **{f"sum_{name}": Sum(name, default=0) for name in NUMBERS},
    "sum_cost": Sum("cost"),
    "sum_unpriced_requests": Count("id", filter=Q(cost=None)),
}
_PREFIX = "sum_"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpending:
    """What a step run took, attempt by attempt."""

    step_run_id: UUID
    path: str
    role_name: str
    attempts: Mapping[int, Usage]
    choice: str = ""  # the newest ModelChoice's digest, if one is on record

    @property
    def usage(self) -> Usage:
        return together(self.attempts.values())


def of_steps(execution_id: UUID) -> dict[UUID, StepSpending]:
    """Sum up an execution by its step runs, and these by attempts; one query."""
    rows = (
        Spending.objects.filter(execution_id=execution_id)
        .order_by("step_run_id", "attempt")
        .values("step_run_id", "path", "role_name", "attempt")
        .annotate(choice=Max("choice"), **_SUMS)
    )
    found: dict[UUID, dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(
            row["step_run_id"],
            {"path": row["path"], "role_name": row["role_name"], "attempts": {}},
        )
        attempts: dict[int, Usage] = known["attempts"]
        before = attempts.get(row["attempt"], Usage())
        attempts[row["attempt"]] = together((before, _usage(row)))
        known["choice"] = row["choice"] or known.get("choice", "")
    return {id_: StepSpending(step_run_id=id_, **each) for id_, each in found.items()}


_BELOW: LiteralString = """
WITH RECURSIVE tree (id) AS (
  SELECT %(execution)s::uuid
  UNION
  SELECT x.id FROM tree JOIN executions_execution x ON x.parent_execution_id = tree.id)
SELECT id FROM tree
"""


def tree_of(execution_id: UUID) -> list[UUID]:
    """List an execution and all below it, as far as they are still there."""
    return [row[0] for row in fetch(_BELOW, {"execution": execution_id})]


def of_executions(execution_ids: Sequence[UUID]) -> dict[UUID, Usage]:
    """Sum up executions one by one; those that spent nothing are not there."""
    rows = (
        Spending.objects.filter(execution_id__in=execution_ids)
        .order_by("execution_id")
        .values("execution_id")
        .annotate(**_SUMS)
    )
    return {row["execution_id"]: _usage(row) for row in rows}


def total(rows: QuerySet[Spending]) -> Usage:
    """Sum up rows of the ledger."""
    return _usage(rows.order_by().aggregate(**_SUMS))


def grouped(
    rows: QuerySet[Spending], by: Sequence[str]
) -> tuple[list[dict[str, Any]], bool]:
    """
    Sum up rows of the ledger in groups, and tell whether there are more of them.

    `by` are names of DIMENSIONS, in the order that groups are sorted by. Besides the
    ids the names are told of what still exists.
    """
    columns = list(dict.fromkeys(c for name in by for c in DIMENSIONS[name]))
    if "day" in by:
        rows = rows.annotate(day=TruncDay("at"))
    sums = rows.order_by(*columns).values(*columns).annotate(**_SUMS)
    found = list(sums[: MOST_GROUPS + 1])
    groups = [
        {**{name: row[name] for name in columns}, "usage": _usage(row)}
        for row in found[:MOST_GROUPS]
    ]
    for each in groups:
        if "day" in each:
            each["day"] = each["day"].date()
    _name(groups, by)
    return groups, len(found) > MOST_GROUPS


def _usage(row: Mapping[str, Any]) -> Usage:
    return Usage.of(
        {
            name.removeprefix(_PREFIX): value
            for name, value in row.items()
            if name.startswith(_PREFIX)
        }
    )


def _name(groups: list[dict[str, Any]], by: Sequence[str]) -> None:
    for dimension, column, shown, look_up in (
        ("orchestration", "orchestration_id", "orchestration_name", _orchestrations),
        ("api_key", "api_key_id", "api_key_name", _keys),
        ("user", "created_by_id", "user_name", _users),
    ):
        if dimension in by:
            names = look_up({each[column] for each in groups} - {None})
            for each in groups:
                each[shown] = names.get(each[column])


def _orchestrations(ids: Iterable[Any]) -> dict[Any, str]:
    return dict(Orchestration.objects.filter(pk__in=ids).values_list("pk", "name"))


def _keys(ids: Iterable[Any]) -> dict[Any, str]:
    return dict(ApiKey.objects.filter(pk__in=ids).values_list("pk", "name"))


def _users(ids: Iterable[Any]) -> dict[Any, str]:
    people = get_user_model().objects.filter(pk__in=ids)
    return {each.pk: each.get_username() for each in people}
