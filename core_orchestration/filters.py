"""How lists of orchestrations are narrowed."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from core_orchestration.models import Orchestration
from roles.rest.filters import TruthFilter, WordsFilter


class OrchestrationFilter(filters.FilterSet):
    name = filters.CharFilter(help_text="The exact name.")
    is_active = TruthFilter()
    tags = WordsFilter(
        lookup_expr="contains",
        help_text="Tags that must all be there: repeat the parameter or use commas.",
    )
    search = filters.CharFilter(
        method="matching", help_text="Part of the name or the description."
    )

    class Meta:
        model = Orchestration
        fields = ()

    def matching(
        self, rows: QuerySet[Orchestration], name: str, value: str
    ) -> QuerySet[Orchestration]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))
