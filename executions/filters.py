"""How the history of executions is narrowed."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from executions.models import Execution
from executions.states import ExecutionStatus
from roles.rest.filters import WordsFilter


class ExecutionFilter(filters.FilterSet):
    status = WordsFilter(
        method="of_status",
        known=tuple(ExecutionStatus),
        help_text="Any of these: repeat the parameter or use commas.",
    )
    orchestration = filters.CharFilter(
        method="of_orchestration", help_text="The id or the exact name."
    )
    created_after = filters.IsoDateTimeFilter("created_at", "gte")
    created_before = filters.IsoDateTimeFilter("created_at", "lt")
    search = filters.CharFilter(
        method="matching",
        help_text="Part of the orchestration's name, or how the id begins.",
    )

    class Meta:
        model = Execution
        fields = ()

    def of_status(
        self, rows: QuerySet[Execution], name: str, value: list[str]
    ) -> QuerySet[Execution]:
        return rows.filter(status__in=value) if value else rows

    def of_orchestration(
        self, rows: QuerySet[Execution], name: str, value: str
    ) -> QuerySet[Execution]:
        try:
            return rows.filter(orchestration_id=UUID(value))
        except ValueError:
            return rows.filter(orchestration__name=value)

    def matching(
        self, rows: QuerySet[Execution], name: str, value: str
    ) -> QuerySet[Execution]:
        wanted = Q(orchestration__name__icontains=value)
        if (ids := ids_beginning_with(value)) is not None:
            wanted |= Q(id__range=ids)
        return rows.filter(wanted)


def ids_beginning_with(text: str) -> tuple[UUID, UUID] | None:
    """Return the lowest and the highest id that begin so, if any can."""
    digits = text.replace("-", "")
    try:
        return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    except ValueError:
        return None
