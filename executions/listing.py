"""
Lists of executions, in a time that does not grow with their number.

An index gives the newest of one owner, one orchestration and one status; of several
together PostgreSQL would read all, and sort them. So the newest of each are asked
for, by one statement, and the newest of those are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from core_orchestration.models import Orchestration
from executions.models import Execution
from executions.states import ExecutionStatus, values

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

Statement = tuple[str, Sequence[Any]]


class Whose(Enum):
    """Who made the executions of a kind."""

    ANYBODYS = auto()
    ONES = auto()
    NOBODYS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    Executions whose newest an index gives, or gives for each of what divides them.

    `rows` are those of one owner, of nobody or of all, and of a range of ids;
    `statuses` (none: any) and `orchestrations` (None: any) divide them.
    """

    rows: QuerySet[Execution]
    whose: Whose = Whose.ANYBODYS
    statuses: Sequence[str] = ()
    orchestrations: QuerySet[Orchestration] | None = None

    def first(self, most: int, order: str) -> Statement:
        """Spell the statement that finds the ids of the first in this order."""
        each, its_params = self._of_each(order)[:most].query.sql_with_params()
        sources = list(self._sources())
        if not sources:
            return each, its_params
        divided = " CROSS JOIN ".join(sql for sql, _ in sources)
        params = [param for _, params in sources for param in params]
        sql = f"SELECT each.id FROM {divided} CROSS JOIN LATERAL ({each}) AS each"  # noqa: S608
        return sql, (*params, *its_params)

    def _of_each(self, order: str) -> QuerySet[Execution, Any]:
        rows = self.rows
        if self._by_status:
            rows = rows.extra(where=["executions_execution.status = of_status.status"])
        if self.orchestrations is not None:
            rows = rows.extra(
                where=["executions_execution.orchestration_id = of_orchestration.id"]
            )
        if self.whose is Whose.NOBODYS:
            # PostgreSQL does not see that a column that IS NULL disturbs no order.
            sign = "" if order.startswith("-") else "-"
            return rows.order_by(f"{sign}created_by_id", order).values("id")
        return rows.order_by(order).values("id")

    @property
    def _by_status(self) -> bool:
        """Tell whether the index of these has the status before the id."""
        of_any = self.whose is Whose.ANYBODYS and self.orchestrations is None
        return bool(self.statuses) or not of_any

    def _sources(self) -> Iterator[Statement]:
        if self._by_status:
            statuses = list(self.statuses or values(ExecutionStatus))
            yield "unnest(%s::text[]) AS of_status(status)", (statuses,)
        if self.orchestrations is not None:
            sql, params = self.orchestrations.values("pk").query.sql_with_params()
            yield f"({sql}) AS of_orchestration(id)", params


def kinds_for(user: AbstractBaseUser | AnonymousUser) -> list[Kind]:
    """Divide what a user may see, as `OwnedQuerySet.visible_to` says."""
    rows = Execution.objects.all()
    if getattr(user, "is_staff", False):
        return [Kind(rows=rows)]
    return [
        Kind(rows=rows.filter(created_by=user.pk), whose=Whose.ONES),
        Kind(rows=rows.filter(created_by=None), whose=Whose.NOBODYS),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    Executions of these kinds by their ids, as far as a paginator needs a QuerySet.

    `shown` says with which columns and relations, and has the last word about what may
    be seen; an execution may be of two kinds.
    """

    shown: QuerySet[Execution]
    kinds: tuple[Kind, ...]
    order: str = "-id"

    def using(self, alias: str) -> Listing:
        return replace(self, shown=self.shown.using(alias))

    def order_by(self, order: str) -> Listing:
        return replace(self, order=order)

    def filter(self, **position: Any) -> Listing:
        """Go on from a page's position."""
        kinds = [
            replace(kind, rows=kind.rows.filter(**position)) for kind in self.kinds
        ]
        return replace(self, kinds=tuple(kinds))

    def __getitem__(self, place: slice) -> list[Execution]:
        if place.start >= place.stop:
            return []
        ids = RawSQL(*self._ids(place.start, place.stop))  # noqa: S611
        return list(self.shown.filter(pk__in=ids).order_by(self.order))

    def _ids(self, start: int, stop: int) -> Statement:
        """Spell the statement that finds the ids of a page; every value is bound."""
        parts = [kind.first(stop, self.order) for kind in self.kinds]
        found = " UNION ".join(f"({sql})" for sql, _ in parts)
        params = [param for _, params in parts for param in params]
        direction = "DESC" if self.order.startswith("-") else "ASC"
        sql = f"SELECT id FROM ({found}) AS found ORDER BY id {direction}"  # noqa: S608
        return f"{sql} LIMIT %s OFFSET %s", (*params, stop - start, start)
