"""Lists over tables without end: nothing here counts or sorts a whole table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator

from core_orchestration.models import Orchestration
from executions.listing import Kind, Listing
from executions.states import ExecutionStatus
from roles import replicas

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from executions.models import Execution

    Executions = QuerySet[Execution]
    RowPaginator = Paginator[Any]
    ListAdmin = admin.ModelAdmin[Any]
else:
    RowPaginator, ListAdmin = Paginator, admin.ModelAdmin

T = TypeVar("T")

MAX_COUNTED = 10_000
MAX_NAMED = 1_000


class ReplicaPaginator(RowPaginator):
    """Reads from the replica, for those who only look: who changes sees the primary."""

    from_replica = False

    @cached_property
    def count(self) -> int:
        return int(self._read(lambda rows: rows.count()))

    def page(self, number: Any) -> Page[Any]:
        """Fetch the page here and now, where it is known what to do without replica."""
        page = super().page(number)
        bounds = slice(max(0, page.start_index() - 1), page.end_index())
        page.object_list = self._read(lambda rows: list(self.ordered(rows)[bounds]))
        return page

    def ordered(self, rows: Any) -> Any:
        """Return what is sliced; its slices may be lists."""
        return rows

    def _read(self, query: Callable[[Any], T]) -> T:
        rows: Any = self.object_list
        if not self.from_replica:
            return query(rows)
        return replicas.read(lambda alias: query(rows.using(alias)))


class BoundedPaginator(ReplicaPaginator):
    """
    Pages of executions, as far as anybody pages, so that counting stays cheap.

    `orchestrations` are those that a search has found; the rows are only theirs.
    """

    orchestrations: QuerySet[Orchestration] | None = None

    @cached_property
    def count(self) -> int:
        return self._read(lambda rows: int(rows.order_by()[:MAX_COUNTED].count()))

    def ordered(self, rows: Any) -> Listing:
        kind = Kind(rows=rows, orchestrations=self.orchestrations)
        return Listing(shown=rows, kinds=(kind,))


class PagedChanges(ChangeList):
    """Leaves even a single page to the paginator."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list


class FromReplica(ListAdmin):
    """A list that is read from the replica."""

    paginator = ReplicaPaginator
    list_max_show_all = 0  # all at once would be read without the paginator

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return PagedChanges

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        pages: Any = super().get_paginator(request, *args, **options)
        pages.from_replica = request.method == "GET"
        return pages


class StatusFilter(admin.SimpleListFilter):
    """Filter by status without asking the table which ones there are."""

    title = parameter_name = "status"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(each.value, each.value.replace("_", " ")) for each in ExecutionStatus]

    def queryset(self, request: HttpRequest, rows: Executions) -> Executions:
        return rows.filter(status=self.value()) if self.value() else rows


def found(executions: Executions, term: str) -> Executions:
    """Find executions by an id, theirs or their orchestration's, or by its name."""
    if (named := orchestrations_found(term)) is None:
        return executions.filter(pk=UUID(term.strip()))
    ids = named.values_list("pk", flat=True)
    return executions.filter(orchestration__in=list(ids))


def orchestrations_found(term: str) -> QuerySet[Orchestration] | None:
    """Return the orchestrations with this id or name; None for an execution's id."""
    term = term.strip()
    try:
        found = Orchestration.objects.filter(pk=UUID(term))
    except ValueError:
        named = Orchestration.objects.filter(name__icontains=term)
        return named.order_by("pk")[:MAX_NAMED]
    return found if found.exists() else None
