"""Language models, choices among them and breakers in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString

from roles import breakers
from roles.admin import refusals
from roles.admin.readable import shown
from roles.admin.reading import ReadOnly
from roles.catalogue.documents import FIELDS, spelled
from roles.catalogue.editing import model_problems, patch_model, save_model
from roles.models import Breaker, LanguageModel, ModelChoice

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    ModelForm = forms.ModelForm[LanguageModel]
    ModelsAdmin = admin.ModelAdmin[LanguageModel]
    ChoicesAdmin = admin.ModelAdmin[ModelChoice]
    BreakersAdmin = admin.ModelAdmin[Breaker]
else:
    ModelForm = forms.ModelForm
    ModelsAdmin = ChoicesAdmin = BreakersAdmin = admin.ModelAdmin

APIS = ("openai", "openai-responses", "anthropic", "google")
TIERS = ("", "fast", "balanced", "best")


class EditedModel(ModelForm):
    """A model's form; it holds whatever the catalogue refuses against its fields."""

    api = forms.ChoiceField(
        choices=[(each, each) for each in APIS],
        help_text="The language that its endpoint speaks.",
    )
    tier = forms.ChoiceField(
        choices=[(each, each or "unknown") for each in TIERS], required=False
    )

    class Meta:
        model = LanguageModel
        fields = FIELDS
        help_texts = {
            "credential": "The name of a secret; without one the provider's variable, "
            "such as OPENAI_API_KEY, is used.",
            "input_price": "USD for a million tokens; empty if nobody knows.",
            "capabilities": "Such as tools, structured_output, vision, reasoning.",
        }

    def document(self) -> dict[str, Any]:
        """Write what was entered as a model's document."""
        entered = spelled(self.cleaned_data)
        entered["capabilities"] = entered.get("capabilities") or None
        if not self.instance._state.adding:  # shown, and not to be changed
            entered |= {
                "provider": self.instance.provider,
                "model": self.instance.model,
            }
        return entered

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            row = None if self.instance._state.adding else self.instance
            refusals.show(self, model_problems(self.document(), row=row))
        return cleaned


class ProviderFilter(admin.SimpleListFilter):
    """Filter by provider."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        rows = LanguageModel.objects.order_by("provider")
        found = rows.values_list("provider", flat=True).distinct()
        return [(each, each) for each in found]

    def queryset(
        self, request: HttpRequest, rows: QuerySet[LanguageModel]
    ) -> QuerySet[LanguageModel]:
        return rows.filter(provider=self.value()) if self.value() else rows


@admin.register(LanguageModel)
class LanguageModelAdmin(ModelsAdmin):
    form = EditedModel
    list_display = (
        "name",
        "tier",
        "quality",
        "context_tokens",
        "input_price",
        "output_price",
        "is_deprecated",
        "is_active",
    )
    list_filter = (ProviderFilter, "tier", "is_active", "is_deprecated")
    search_fields = ("name",)
    actions = ("activate", "deactivate")
    readonly_fields = ("id", "edited", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("provider", "model", "is_active", "is_deprecated")}),
        ("How it is asked", {"fields": ("api", "base_url", "credential")}),
        (
            "What it can do",
            {
                "fields": (
                    "context_tokens",
                    "max_output_tokens",
                    "capabilities",
                    "tier",
                    "quality",
                )
            },
        ),
        (
            "What it costs",
            {"fields": ("input_price", "cached_input_price", "output_price")},
        ),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields}),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: LanguageModel | None = None
    ) -> Any:
        """Let a model keep its name: choices and roles refer to it."""
        return self.readonly_fields + (("provider", "model") if obj else ())

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: LanguageModel, form: Any, change: bool
    ) -> None:
        saved = save_model(form.document(), row=obj if change else None)
        obj.pk, obj.name = saved.pk, saved.name

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[LanguageModel]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(
        self, request: HttpRequest, queryset: QuerySet[LanguageModel]
    ) -> None:
        self._switch(request, queryset, on=False)

    def _switch(
        self, request: HttpRequest, rows: QuerySet[LanguageModel], *, on: bool
    ) -> None:
        for row in rows:
            patch_model(row, {"is_active": on})
        word = "active" if on else "not active"
        self.message_user(request, f"Now {word}: {', '.join(map(str, rows))}.")


@admin.register(ModelChoice)
class ModelChoiceAdmin(ReadOnly, ChoicesAdmin):
    list_display = ("digest", "chosen", "why", "created_at")
    fields = ("digest", "created_at", "chosen", "why", "choice")
    readonly_fields = fields
    search_fields = ("digest",)

    @admin.display(description="model")
    def chosen(self, row: ModelChoice) -> str:
        return str(row.body.get("chosen"))

    @admin.display
    def why(self, row: ModelChoice) -> str:
        return str(row.body.get("why"))

    @admin.display(description="all of it")
    def choice(self, row: ModelChoice) -> SafeString:
        return shown(row.body)


@admin.register(Breaker)
class BreakerAdmin(ReadOnly, BreakersAdmin):
    list_display = ("key", "reason", "failures", "open_until", "probe_until")
    actions = ("close_breakers",)

    @admin.action(
        description="Close: let the models be asked again", permissions=["close"]
    )
    def close_breakers(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        closed = [row.key for row in queryset if breakers.remove(row)]
        self.message_user(request, f"Closed: {', '.join(closed) or 'none'}.")

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Take the right to change breakers, though none is edited by hand."""
        return request.user.has_perm("roles.change_breaker")
