"""Roles in the admin: the registry checks, saves and deletes; this only shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin

from roles import registry
from roles.admin import refusals
from roles.admin.people import acting
from roles.admin.readable import JSON_FIELDS
from roles.documents import DEFAULTS, FIELDS
from roles.models import Role
from roles.runners import known_kinds
from roles.usage import users_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet
    from django.http import HttpRequest

    RoleForm = forms.ModelForm[Role]
    RolesAdmin = admin.ModelAdmin[Role]
else:
    RoleForm, RolesAdmin = forms.ModelForm, admin.ModelAdmin


class EditedRole(RoleForm):
    """A role's form; it holds whatever the registry refuses against its fields."""

    kind = forms.ChoiceField(choices=lambda: [(kind, kind) for kind in known_kinds()])

    by: User | None = None  # who fills it in

    class Meta:
        model = Role
        fields = FIELDS

    def document(self) -> dict[str, Any]:
        """Write what was entered as a role's document."""
        entered = {name: self.cleaned_data[name] for name in FIELDS}
        return refusals.completed(entered, DEFAULTS)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            role = None if self.instance._state.adding else self.instance
            problems = registry.role_problems(self.document(), role=role, by=self.by)
            refusals.show(self, problems)
        return cleaned


class KindFilter(admin.SimpleListFilter):
    """Filter by kind without asking the table which kinds there are."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in known_kinds()]

    def queryset(self, request: HttpRequest, rows: QuerySet[Role]) -> QuerySet[Role]:
        return rows.filter(kind=self.value()) if self.value() else rows


@admin.register(Role)
class RoleAdmin(RolesAdmin):
    form = EditedRole
    formfield_overrides = JSON_FIELDS
    list_display = ("name", "kind", "description", "is_active", "updated_at")
    list_filter = (KindFilter, "is_active")
    search_fields = ("name", "description")
    actions = ("activate", "deactivate")
    readonly_fields = ("id", "created_by", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "kind", "description", "is_active")}),
        ("Work", {"fields": ("base_prompt", "config")}),
        ("Tools and model", {"fields": ("tools", "needs_tools", "model_constraints")}),
        ("What goes in and comes out", {"fields": ("input_schema", "output_schema")}),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields}),
    )

    def get_form(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        form = super().get_form(request, *args, **options)
        return type(form.__name__, (form,), {"by": acting(request)})

    def save_model(
        self, request: HttpRequest, obj: Role, form: Any, change: bool
    ) -> None:
        role = obj if change else None
        obj.pk = registry.save_role(form.document(), by=acting(request), role=role).pk

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        registry.delete_role(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Role]) -> None:
        for role in queryset:
            registry.delete_role(role)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name whatever uses the roles, by id or by name, as in the way."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        users = [
            f"{user.kind}: {user.name}" for role in objs for user in users_of(role)
        ]
        return deleted, counts, missing, users or protected

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Role]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Role]) -> None:
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, roles: QuerySet[Role], *, on: bool) -> None:
        for role in roles:
            registry.patch_role(role, {"is_active": on}, by=acting(request))
        word = "active" if on else "not active"
        self.message_user(request, f"Now {word}: {', '.join(map(str, roles))}.")
