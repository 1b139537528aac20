"""How lists of roles and of the audit log are narrowed."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from roles.models import AuditEntry, LanguageModel, Role
from roles.rest.filters import MomentFilter, TruthFilter


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


class AuditFilter(filters.FilterSet):
    action = filters.CharFilter(
        lookup_expr="startswith",
        help_text="What was done, or how that begins: `role.` is all about roles.",
    )
    object_type = filters.CharFilter(help_text="`role`, `execution`, `tool`, ...")
    object_id = filters.CharFilter()
    user = filters.CharFilter(method="done_by", help_text="The username.")
    api_key_id = filters.UUIDFilter()
    execution_id = filters.UUIDFilter(help_text="Whose steps did it.")
    channel = filters.CharFilter()
    outcome = filters.ChoiceFilter(choices=[("done", "done"), ("refused", "refused")])
    after = MomentFilter(field_name="at", lookup_expr="gte")
    before = MomentFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ()

    def done_by(
        self, rows: QuerySet[AuditEntry], name: str, value: str
    ) -> QuerySet[AuditEntry]:
        """Find accounts by id, which is indexed; the others are known by name only."""
        users = get_user_model().objects.filter(username=value).values_list("pk")
        ids = [pk for (pk,) in users]
        return rows.filter(Q(user__in=ids) | Q(user=None, user_name=value))


class LanguageModelFilter(filters.FilterSet):
    name = filters.CharFilter(help_text="The exact name, `provider:model`.")
    provider = filters.CharFilter(help_text="Such as `openai`.")
    capability = filters.CharFilter(
        method="having",
        help_text="Such as `tools`; models of which it is not known are left out.",
    )
    tier = filters.CharFilter(help_text="`fast`, `balanced` or `best`.")
    is_active = TruthFilter()
    is_deprecated = TruthFilter()
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="Part of the name."
    )

    class Meta:
        model = LanguageModel
        fields = ()

    def having(
        self, rows: QuerySet[LanguageModel], name: str, value: str
    ) -> QuerySet[LanguageModel]:
        return rows.filter(capabilities__contains=[value])
