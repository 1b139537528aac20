"""The audit log in the admin: to be searched and read, never to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from roles.admin.readable import shown
from roles.admin.reading import ReadOnly
from roles.models import AuditEntry

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    EntriesAdmin = admin.ModelAdmin[AuditEntry]
else:
    EntriesAdmin = admin.ModelAdmin

CHANNELS = ("api", "admin", "agent", "mcp", "command", "system")
KINDS = (
    ("role.", "roles"),
    ("orchestration.", "orchestrations"),
    ("execution.", "executions"),
    ("approval.", "approvals"),
    ("event.", "events"),
    ("api_key.", "API keys"),
    ("secret.", "secrets"),
    ("tool.", "tools"),
)


class KindFilter(admin.SimpleListFilter):
    """Filter by what the action is about without reading the table for its words."""

    title = "about"
    parameter_name = "about"

    def lookups(self, *_: object) -> list[tuple[str, str]]:
        return list(KINDS)

    def queryset(
        self, request: HttpRequest, rows: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        value = self.value()
        return rows.filter(action__startswith=value) if value else rows


class ChannelFilter(admin.SimpleListFilter):
    title = parameter_name = "channel"

    def lookups(self, *_: object) -> list[tuple[str, str]]:
        return [(each, each) for each in CHANNELS]

    def queryset(
        self, request: HttpRequest, rows: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        return rows.filter(channel=self.value()) if self.value() else rows


class OutcomeFilter(admin.SimpleListFilter):
    title = parameter_name = "outcome"

    def lookups(self, *_: object) -> list[tuple[str, str]]:
        return [("done", "done"), ("refused", "refused")]

    def queryset(
        self, request: HttpRequest, rows: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        return rows.filter(outcome=self.value()) if self.value() else rows


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, EntriesAdmin):
    list_display = ("at", "who", "action", "object_type", "object_name", "outcome")
    list_display_links = ("action",)
    list_filter = (KindFilter, OutcomeFilter, ChannelFilter)
    list_per_page = 50
    search_fields = ("=object_id", "=object_name", "=user_name", "=execution_id")
    search_help_text = "The exact name or id of the object, user or execution."
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("at", "action", "outcome", "detail")}),
        (
            "Who",
            {
                "fields": (
                    "channel",
                    "user",
                    "user_name",
                    "api_key_id",
                    "execution_id",
                    "step_path",
                    "role_name",
                )
            },
        ),
        ("What", {"fields": ("object_type", "object_id", "object_name")}),
        ("Change", {"fields": ("was", "became")}),
    )
    readonly_fields = ("was", "became")

    @admin.display(description="by")
    def who(self, entry: AuditEntry) -> str:
        """Name whoever is nearest to the act: a role of a step, else a person."""
        name = entry.role_name or entry.user_name
        return f"{name} ({entry.channel})" if name else entry.channel

    @admin.display(description="before", empty_value="nothing")
    def was(self, entry: AuditEntry) -> SafeString | None:
        return None if entry.before is None else shown(entry.before)

    @admin.display(description="after", empty_value="nothing")
    def became(self, entry: AuditEntry) -> SafeString | None:
        return None if entry.after is None else shown(entry.after)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        rows = super().get_queryset(request)
        if request.resolver_match and "object_id" in request.resolver_match.kwargs:
            return rows.select_related("user")
        return rows.defer("before", "after")
