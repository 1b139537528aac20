"""How lists of roles are narrowed."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from roles.models import Role
from roles.rest.filters import TruthFilter


class RoleFilter(filters.FilterSet):
    name = filters.CharFilter(help_text="The exact name.")
    kind = filters.CharFilter(
        help_text="`agent`, `http`, `function` or a plugged-in kind."
    )
    is_active = TruthFilter()
    search = filters.CharFilter(
        method="matching", help_text="Part of the name or the description."
    )

    class Meta:
        model = Role
        fields = ()

    def matching(self, rows: QuerySet[Role], name: str, value: str) -> QuerySet[Role]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))
