"""Versions in the admin: to be read, never to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.forms.models import BaseInlineFormSet

from core_orchestration.models import OrchestrationVersion
from roles.admin.readable import shown
from roles.admin.reading import ReadOnly, linked

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from core_orchestration.models import Orchestration

    VersionsAdmin = admin.ModelAdmin[OrchestrationVersion]
    VersionsInline = admin.TabularInline[OrchestrationVersion, Orchestration]
    VersionFormSet = BaseInlineFormSet[OrchestrationVersion, Orchestration, Any]
else:
    VersionsAdmin, VersionsInline = admin.ModelAdmin, admin.TabularInline
    VersionFormSet = BaseInlineFormSet

NEWEST = 20


class NewestVersions(VersionFormSet):
    """The newest versions of an orchestration, which may have thousands."""

    def get_queryset(self) -> QuerySet[OrchestrationVersion]:
        return super().get_queryset().defer("definition")[:NEWEST]


class VersionInline(ReadOnly, VersionsInline):
    model = OrchestrationVersion
    formset = NewestVersions
    fk_name = "orchestration"
    fields = readonly_fields = ("number_link", "created_at", "created_by", "digest")
    ordering = ("-number",)
    verbose_name_plural = f"versions (the newest {NEWEST})"
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrchestrationVersion]:
        return super().get_queryset(request).select_related("created_by")

    @admin.display(description="Number")
    def number_link(self, version: OrchestrationVersion) -> SafeString:
        return linked(version, f"v{version.number}")


@admin.register(OrchestrationVersion)
class OrchestrationVersionAdmin(ReadOnly, VersionsAdmin):
    list_display = ("id", "orchestration", "number", "created_at", "created_by")
    list_select_related = ("orchestration", "created_by")
    search_fields = ("orchestration__name",)
    show_full_result_count = False
    fields = readonly_fields = (
        "orchestration",
        "number",
        "created_at",
        "created_by",
        "digest",
        "what_it_says",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrchestrationVersion]:
        versions = super().get_queryset(request)
        return versions if "object_id" in _arguments(request) else _light(versions)

    @admin.display(description="Definition")
    def what_it_says(self, version: OrchestrationVersion) -> SafeString:
        return shown(version.definition)


def _arguments(request: HttpRequest) -> dict[str, Any]:
    return request.resolver_match.kwargs if request.resolver_match else {}


def _light(versions: QuerySet[OrchestrationVersion]) -> QuerySet[OrchestrationVersion]:
    return versions.defer("definition")
