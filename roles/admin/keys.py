"""API keys in the admin: issued, shown once, revoked; never read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils import timezone
from django.utils.html import format_html

from roles import keys
from roles.admin.people import acting
from roles.models import ApiKey

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    KeysAdmin = admin.ModelAdmin[ApiKey]
else:
    KeysAdmin = admin.ModelAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(KeysAdmin):
    list_display = (
        "name",
        "prefix",
        "user",
        "allows_meta",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    autocomplete_fields = ("user",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.list_display if obj else ("user", "name", "allows_meta")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Leave staff who are not superusers with their own keys."""
        keys_of_all = super().get_queryset(request)
        if request.user.is_superuser:
            return keys_of_all
        return keys_of_all.filter(user=acting(request))

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **options: Any
    ) -> Any:
        """Let nobody but a superuser issue keys that act for somebody else."""
        field = super().formfield_for_foreignkey(db_field, request, **options)
        if field and field.queryset is not None and not request.user.is_superuser:
            field.queryset = field.queryset.filter(pk=request.user.pk)
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk}

    def has_change_permission(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> bool:
        """Allow revoking in the list; a key itself has nothing to edit."""
        return obj is None and super().has_change_permission(request)

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: Any, change: bool
    ) -> None:
        key, token = keys.issue(obj.user, obj.name, allows_meta=obj.allows_meta)
        obj.pk, obj.prefix = key.pk, key.prefix
        shown = "The key {} is shown this once, copy it now: <code>{}</code>"
        self.message_user(
            request, format_html(shown, key.name, token), messages.WARNING
        )

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        keys.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.delete(key)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        ended = sum(keys.revoke(key, now) for key in queryset)
        self.message_user(request, f"Revoked {ended} of {len(queryset)} keys.")
