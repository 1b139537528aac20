"""Executions in the admin: to be found, read and steered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.utils.html import format_html

from executions.admin.controls import offered
from executions.admin.lists import (
    BoundedPaginator,
    FromReplica,
    StatusFilter,
    found,
    orchestrations_found,
)
from executions.admin.pages import page_of
from executions.admin.steering import Steering
from executions.models import Execution
from roles.admin.reading import ReadOnly

if TYPE_CHECKING:
    from datetime import timedelta

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    Executions = QuerySet[Execution]


@admin.register(Execution)
class ExecutionAdmin(ReadOnly, FromReplica, Steering):
    list_display = (
        "id",
        "orchestration",
        "version_number",
        "state",
        "created_at",
        "took",
        "created_by",
    )
    list_filter = (StatusFilter,)
    list_select_related = ("orchestration", "version", "created_by")
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    search_fields = ("id", "orchestration__name")
    search_help_text = "An execution's id, or an orchestration's id or name"
    change_form_template = "admin/executions/execution/change_form.html"

    @admin.display(description="version")
    def version_number(self, execution: Execution) -> str:
        return f"v{execution.version.number}"

    @admin.display(description="status")
    def state(self, execution: Execution) -> SafeString:
        return format_html(
            '<span class="core-status core-status-{0}">{0}</span>', execution.status
        )

    @admin.display(description="duration", empty_value="")
    def took(self, execution: Execution) -> timedelta | None:
        if execution.started_at is None or execution.finished_at is None:
            return None
        return execution.finished_at - execution.started_at

    def get_queryset(self, request: HttpRequest) -> Executions:
        rows = super().get_queryset(request)
        return rows.defer("version__definition", "role_pins")

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        return (found(queryset, search_term) if search_term else queryset), False

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        pages = super().get_paginator(request, *args, **options)
        if term := request.GET.get(SEARCH_VAR, "").strip():
            pages.orchestrations = orchestrations_found(term)
        return pages

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> Any:
        execution: Execution = options["obj"]
        page = page_of(execution)
        if self.has_control_permission(request):
            page["controls"] = offered(execution, page["detail"]["step_logs"])
        context |= page
        return super().render_change_form(request, context, *args, **options)
