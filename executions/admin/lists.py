"""Lists over tables without end: nothing here counts or sorts a whole table."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator

from core_orchestration.models import Orchestration
from executions.states import ExecutionStatus

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from executions.models import Execution

    Executions = QuerySet[Execution]
    RowPaginator = Paginator[Execution]
else:
    RowPaginator = Paginator

MAX_COUNTED = 10_000
MAX_NAMED = 1_000


class BoundedPaginator(RowPaginator):
    """Counts as far as anybody pages, so that the count stays cheap."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MAX_COUNTED].count())


class StatusFilter(admin.SimpleListFilter):
    """Filter by status without asking the table which ones there are."""

    title = parameter_name = "status"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(each.value, each.value.replace("_", " ")) for each in ExecutionStatus]

    def queryset(self, request: HttpRequest, rows: Executions) -> Executions:
        return rows.filter(status=self.value()) if self.value() else rows


def found(executions: Executions, term: str) -> Executions:
    """Find executions by an id, theirs or their orchestration's, or by its name."""
    term = term.strip()
    try:
        wanted = UUID(term)
    except ValueError:
        named = Orchestration.objects.filter(name__icontains=term)
        ids = named.values_list("pk", flat=True)[:MAX_NAMED]
        return executions.filter(orchestration__in=list(ids))
    return executions.filter(pk=wanted) | executions.filter(orchestration=wanted)
