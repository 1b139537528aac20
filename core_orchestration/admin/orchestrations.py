"""Orchestrations in the admin: one page is one document, saved and published whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import F, Func
from django.utils import timezone

from core_orchestration import drafts
from core_orchestration.admin.steps import EditedSteps, StepInline
from core_orchestration.admin.versions import VersionInline
from core_orchestration.models import Orchestration
from roles.admin import refusals
from roles.admin.people import acting
from roles.admin.readable import JSON_FIELDS
from roles.admin.reading import linked
from roles.problems import InvalidDocument

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    Orchestrations = QuerySet[Orchestration]
    OrchestrationForm = forms.ModelForm[Orchestration]
    OrchestrationsAdmin = admin.ModelAdmin[Orchestration]
else:
    OrchestrationForm, OrchestrationsAdmin = forms.ModelForm, admin.ModelAdmin

ENTERED = "_entered_form"  # where the steps' forms find the one that they belong to


class EditedOrchestration(OrchestrationForm):
    """The part of an orchestration's page that is not steps."""

    class Meta:
        model = Orchestration
        fields = drafts.FIELDS
        help_texts: ClassVar[Any] = {
            "expose_as_tool": "MCP clients may run it as a tool of its own.",
            "limits": "What one execution may come to, where that is less than what the "
            'installation allows, such as {"max_steps": 1000, "max_fan_out": 100}.',
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.instance.__dict__[ENTERED] = self

    def document(self) -> dict[str, Any]:
        return refusals.completed(self.cleaned_data, drafts.DEFAULTS)


class ArchivedFilter(admin.SimpleListFilter):
    """Leave out what was archived unless it is asked for."""

    title = "archived"
    parameter_name = "archived"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "No"}
        yield from others

    def queryset(self, request: HttpRequest, rows: Orchestrations) -> Orchestrations:
        if self.value() == "all":
            return rows
        return rows.filter(archived_at__isnull=self.value() != "yes")


class TagFilter(admin.SimpleListFilter):
    title = parameter_name = "tag"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        tag = Func(F("tags"), function="unnest")
        rows = Orchestration.objects.filter(archived_at=None).annotate(tag=tag)
        tags = rows.order_by("tag").values_list("tag", flat=True).distinct()
        return [(each, each) for each in tags[:100]]

    def queryset(self, request: HttpRequest, rows: Orchestrations) -> Orchestrations:
        return rows.filter(tags__contains=[self.value()]) if self.value() else rows


@admin.register(Orchestration)
class OrchestrationAdmin(OrchestrationsAdmin):
    form = EditedOrchestration
    inlines = (StepInline, VersionInline)
    formfield_overrides = JSON_FIELDS
    list_display = ("name", "shown_tags", "is_active", "version", "updated_at")
    list_filter = ("is_active", ArchivedFilter, TagFilter)
    list_select_related = ("published",)
    search_fields = ("name", "description")
    actions: Any = ("publish", "activate", "deactivate", "archive")
    readonly_fields = ("id", "version", "created_by", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description", "tags", "is_active")}),
        ("Tools", {"fields": ("expose_as_tool",)}),
        ("Input and output", {"fields": ("input_schema", "output")}),
        ("Limits", {"fields": ("timeout_ms", "limits")}),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields}),
    )

    @admin.display(description="tags")
    def shown_tags(self, orchestration: Orchestration) -> str:
        return ", ".join(orchestration.tags)

    @admin.display(description="version", empty_value="not published")
    def version(self, orchestration: Orchestration) -> SafeString | None:
        published = orchestration.published
        return linked(published, f"v{published.number}") if published else None

    def has_change_permission(
        self, request: HttpRequest, obj: Orchestration | None = None
    ) -> bool:
        archived = obj is not None and obj.archived_at is not None
        return not archived and super().has_change_permission(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: Orchestration | None = None
    ) -> bool:
        """Refuse: orchestrations are archived, so that executions keep their own."""
        return False

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        options = super().get_formset_kwargs(request, obj, inline, prefix)
        if isinstance(inline, StepInline):
            options |= {"by": acting(request), "whole": lambda: obj.__dict__[ENTERED]}
        return options

    def save_model(self, *_: Any) -> None:
        """Wait for the steps: the whole document is saved at once."""

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        """Save and publish the document that passed the forms' check."""
        steps = next(each for each in formsets if isinstance(each, EditedSteps))
        edited = form.instance if change else None
        saved = drafts.save(steps.document(), by=acting(request), orchestration=edited)
        form.instance.pk = saved.pk
        for each in formsets:
            each.new_objects, each.changed_objects, each.deleted_objects = [], [], []

    @admin.action(description="Publish as it is now", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: Orchestrations) -> None:
        for orchestration in queryset.filter(archived_at=None):
            document = drafts.document_of(orchestration)
            try:
                saved = drafts.save(
                    document, by=acting(request), orchestration=orchestration
                )
            except InvalidDocument as invalid:
                refused = f"{orchestration} is not published. {invalid}"
                self.message_user(request, refused, messages.ERROR)
            else:
                self.message_user(request, f"Published {saved.published}.")

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: Orchestrations) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: Orchestrations) -> None:
        self._switch(request, queryset, on=False)

    @admin.action(description="Archive", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: Orchestrations) -> None:
        now = timezone.now()
        archived = list(queryset.filter(archived_at=None))
        for orchestration in archived:
            drafts.archive(orchestration, now)
        self.message_user(request, f"Archived: {_names(archived)}.")

    def _switch(
        self, request: HttpRequest, queryset: Orchestrations, *, on: bool
    ) -> None:
        chosen = list(queryset.filter(archived_at=None))
        drafts.switch(chosen, timezone.now(), on=on)
        word = "active" if on else "not active"
        self.message_user(request, f"Now {word}: {_names(chosen)}.")


def _names(orchestrations: list[Orchestration]) -> str:
    return ", ".join(map(str, orchestrations)) or "none"
