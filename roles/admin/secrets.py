"""Secrets in the admin: their values are typed in and never shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField

from roles.admin import refusals
from roles.admin.people import acting
from roles.models import Secret
from roles.secrets import vault
from roles.secrets.documents import DEFAULTS
from roles.secrets.usage import users_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    SecretForm = forms.ModelForm[Secret]
    SecretsAdmin = admin.ModelAdmin[Secret]
else:
    SecretForm, SecretsAdmin = forms.ModelForm, admin.ModelAdmin


DESCRIBED = ("name", *DEFAULTS)


class EditedSecret(SecretForm):
    """A secret's form; it holds whatever the vault refuses against its fields."""

    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(
            {"autocomplete": "new-password", "class": "vTextField"}
        ),
        help_text="Never shown again. Leave it empty to keep the value of before.",
    )
    allowed_hosts = SimpleArrayField(
        forms.CharField(),
        required=False,
        help_text="host or host:port, separated by commas; empty: anywhere.",
    )

    class Meta:
        model = Secret
        fields = DESCRIBED

    def document(self) -> dict[str, Any]:
        """Write what was entered as a secret's document."""
        entered = {name: self.cleaned_data[name] for name in DESCRIBED}
        value = self.cleaned_data["value"]
        return refusals.completed(entered, DEFAULTS) | (
            {"value": value} if value else {}
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            secret = None if self.instance._state.adding else self.instance
            problems = vault.secret_problems(self.document(), secret=secret)
            refusals.show(self, problems)
            self._check_name(secret)
        return cleaned

    def _check_name(self, secret: Secret | None) -> None:
        """Refuse a new name for what is named."""
        before = self.initial.get("name")
        if secret is None or self.cleaned_data.get("name") == before:
            return
        if users := users_of(str(before)):
            self.add_error("name", str(vault.SecretInUse(str(before), users)))


@admin.register(Secret)
class SecretAdmin(SecretsAdmin):
    form = EditedSecret
    list_display = ("name", "description", "allowed_hosts", "created_by", "updated_at")
    list_select_related = ("created_by",)
    search_fields = ("name", "description")
    readonly_fields = ("id", "created_by", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description", "value", "allowed_hosts")}),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields}),
    )

    def save_model(
        self, request: HttpRequest, obj: Secret, form: Any, change: bool
    ) -> None:
        secret = obj if change else None
        obj.pk = vault.save_secret(
            form.document(), by=acting(request), secret=secret
        ).pk

    def delete_model(self, request: HttpRequest, obj: Secret) -> None:
        vault.delete_secret(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Secret]) -> None:
        for secret in queryset:
            vault.delete_secret(secret)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name whatever refers to the secrets as in the way."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        users = [
            f"{user.kind}: {user.name}"
            for secret in objs
            for user in users_of(secret.name)
        ]
        return deleted, counts, missing, users or protected
