"""MCP servers in the admin: `servers` checks, saves and deletes; this only shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField

from roles.admin import refusals
from roles.admin.people import acting
from roles.admin.readable import JSON_FIELDS
from roles.models import McpServer
from roles.servers import saving
from roles.servers.documents import DEFAULTS, FIELDS

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    ServerForm = forms.ModelForm[McpServer]
    ServersAdmin = admin.ModelAdmin[McpServer]
else:
    ServerForm, ServersAdmin = forms.ModelForm, admin.ModelAdmin


def _names(help_text: str) -> SimpleArrayField:
    return SimpleArrayField(forms.CharField(), required=False, help_text=help_text)


class EditedServer(ServerForm):
    """A server's form; it holds whatever is refused against its fields."""

    allowed_tools = _names("The tools that roles may call, with commas; * for all.")
    approved_tools = _names("Those that a person approves before each call.")

    class Meta:
        model = McpServer
        fields = FIELDS
        help_texts: ClassVar[Any] = {
            "url": "Of a server that speaks streamable HTTP; else give a command.",
            "command": 'What workers start, such as ["npx", "-y", "some-server"].',
            "headers": 'Such as {"Authorization": {"$secret": "name", '
            '"prefix": "Bearer "}}.',
            "environment": "Of the command; written as headers are.",
        }

    def document(self) -> dict[str, Any]:
        """Write what was entered as a server's document."""
        entered = {name: self.cleaned_data[name] for name in FIELDS}
        return refusals.completed(entered, DEFAULTS)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            server = None if self.instance._state.adding else self.instance
            problems = saving.server_problems(self.document(), server=server)
            refusals.show(self, problems)
            self._check_name(server)
        # What was left empty is not null, as the table's constraint sees it.
        return refusals.completed(cleaned, DEFAULTS)

    def _check_name(self, server: McpServer | None) -> None:
        """Refuse a new name for what is granted."""
        before = str(self.initial.get("name"))
        if server is None or self.cleaned_data.get("name") == before:
            return
        if roles := saving.roles_using(before):
            self.add_error("name", str(saving.ServerInUse(before, roles)))


@admin.register(McpServer)
class McpServerAdmin(ServersAdmin):
    form = EditedServer
    formfield_overrides = JSON_FIELDS
    list_display = ("name", "description", "url", "is_active", "updated_at")
    list_filter = ("is_active",)
    search_fields = ("name", "description", "url")
    readonly_fields = ("id", "created_by", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description", "is_active")}),
        ("At a URL", {"fields": ("url", "headers")}),
        ("Started by workers", {"fields": ("command", "environment")}),
        ("Tools", {"fields": ("allowed_tools", "approved_tools", "timeout_ms")}),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields}),
    )

    def save_model(
        self, request: HttpRequest, obj: McpServer, form: Any, change: bool
    ) -> None:
        server = obj if change else None
        saved = saving.save_server(form.document(), by=acting(request), server=server)
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: McpServer) -> None:
        saving.delete_server(obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[McpServer]
    ) -> None:
        for server in queryset:
            saving.delete_server(server)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the roles that are granted the servers as in the way."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        users = [
            f"role: {role.name}"
            for server in objs
            for role in saving.roles_using(server.name)
        ]
        return deleted, counts, missing, users or protected
