"""Budgets, the ledger and what agents said in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.utils.html import format_html_join

from executions.models import Budget, Exchange, Spending
from executions.spending import balances, documents
from roles.admin import refusals
from roles.admin.people import acting
from roles.admin.readable import shown
from roles.admin.reading import ReadOnly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    BudgetForm = forms.ModelForm[Budget]
    BudgetsAdmin = admin.ModelAdmin[Budget]
    SpendingsAdmin = admin.ModelAdmin[Spending]
    ExchangesAdmin = admin.ModelAdmin[Exchange]
else:
    BudgetForm = forms.ModelForm
    BudgetsAdmin = SpendingsAdmin = ExchangesAdmin = admin.ModelAdmin


class EditedBudget(BudgetForm):
    """A budget's form; what a budget is for stays as it is once it is made."""

    class Meta:
        model = Budget
        fields = documents.FIELDS

    def document(self) -> dict[str, Any]:
        """Write what was entered as a budget's document."""
        kept = documents.document_of(self.instance)
        entered = {name: self.cleaned_data.get(name, kept[name]) for name in kept}
        money = entered["money"]
        return {
            **entered,
            "scope_id": str(entered["scope_id"]),
            "money": None if money is None else str(money),
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            budget = None if self.instance._state.adding else self.instance
            found = documents.faults(self.document(), by=None, budget=budget)
            refusals.show(self, found)
        return cleaned


@admin.register(Budget)
class BudgetAdmin(BudgetsAdmin):
    form = EditedBudget
    list_display = (
        "scope",
        "scope_id",
        "period",
        "per_execution",
        "money",
        "tokens",
        "requests",
        "on_hard",
        "is_active",
    )
    list_filter = ("scope", "period", "is_active")
    search_fields = ("scope_id",)
    readonly_fields = ("id", "accounts", "created_by", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": (*documents.PLACE, "is_active")}),
        ("Limits", {"fields": ("money", "tokens", "requests")}),
        ("What happens", {"fields": ("soft_percent", "on_soft", "on_hard")}),
        ("Accounts", {"fields": ("accounts",)}),
        ("Record", {"classes": ("collapse",), "fields": readonly_fields[:1]}),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: Budget | None = None
    ) -> tuple[str, ...]:
        return self.readonly_fields + (documents.PLACE if obj else ())

    @admin.display(description=f"the newest {balances.MOST_ACCOUNTS}")
    def accounts(self, budget: Budget) -> SafeString | str:
        if budget._state.adding:
            return "none yet"
        return format_html_join(
            "",
            "<p>{} {}: {} USD, {} tokens, {} requests spent; {} USD, {} tokens, {} "
            "requests reserved</p>",
            (_spelled(each) for each in balances.of([budget])[budget.pk]),
        )

    def save_model(
        self, request: HttpRequest, obj: Budget, form: Any, change: bool
    ) -> None:
        before = Budget.objects.get(pk=obj.pk) if change else None
        obj.pk = documents.save(form.document(), by=acting(request), budget=before).pk

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        documents.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        for budget in queryset:
            documents.remove(budget)


def _spelled(account: dict[str, Any]) -> tuple[Any, ...]:
    spent, reserved = account["spent"], account["reserved"]
    return (
        account["period_start"] or "ever",
        account["execution_id"] or "",
        *(spent[name] for name in ("money", "tokens", "requests")),
        *(reserved[name] for name in ("money", "tokens", "requests")),
    )


@admin.register(Spending)
class SpendingAdmin(ReadOnly, SpendingsAdmin):
    list_display = (
        "at",
        "provider",
        "model",
        "role_name",
        "path",
        "attempt",
        "input_tokens",
        "output_tokens",
        "cost",
        "execution_id",
    )
    list_filter = ("provider",)
    date_hierarchy = "at"
    search_fields = ("execution_id", "model", "role_name")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Exchange)
class ExchangeAdmin(ReadOnly, ExchangesAdmin):
    list_display = ("created_at", "kind", "path", "attempt", "call_id", "execution_id")
    fields = (
        "created_at",
        "execution_id",
        "path",
        "attempt",
        "kind",
        "call_id",
        "content",
    )
    readonly_fields = ("content",)
    list_filter = ("kind",)
    search_fields = ("=execution_id", "=step_run_id")
    ordering = ("-id",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exchange]:
        """Leave what was said in the database until one is looked at."""
        return super().get_queryset(request).defer("data")

    @admin.display(description="data")
    def content(self, exchange: Exchange) -> SafeString:
        return shown(exchange.data)
