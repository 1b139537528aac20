"""Executions in the admin: to be found, read and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from executions import control
from executions.admin.lists import BoundedPaginator, StatusFilter, found
from executions.admin.pages import page_of
from executions.models import Execution
from executions.states import ACTIVE_EXECUTION
from roles.admin.people import acting
from roles.admin.reading import ReadOnly

if TYPE_CHECKING:
    from datetime import timedelta

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    Executions = QuerySet[Execution]
    ExecutionsAdmin = admin.ModelAdmin[Execution]
else:
    ExecutionsAdmin = admin.ModelAdmin


@admin.register(Execution)
class ExecutionAdmin(ReadOnly, ExecutionsAdmin):
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
    actions = ("cancel",)
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

    def get_urls(self) -> list[Any]:
        cancel = self.admin_site.admin_view(require_POST(self.cancel_one))
        name = "executions_execution_cancel"
        route = path("<uuid:execution_id>/cancel/", cancel, name=name)
        return [route, *super().get_urls()]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("executions.change_execution")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: Executions) -> None:
        name = acting(request).get_username()
        ids = list(queryset.values_list("pk", flat=True))
        done = sum(control.cancel(each, by=name) for each in ids)
        self.message_user(request, f"Cancelled {done} of {len(ids)} executions.")

    def cancel_one(self, request: HttpRequest, execution_id: Any) -> HttpResponse:
        """Cancel from the execution's own page, and go back there."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        if control.cancel(execution_id, by=acting(request).get_username()):
            self.message_user(request, "The execution is cancelled.")
        else:
            self.message_user(request, "It was over already.", messages.WARNING)
        here = reverse("admin:executions_execution_change", args=[execution_id])
        return HttpResponseRedirect(here)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> Any:
        execution: Execution = options["obj"]
        can_cancel = execution.status in ACTIVE_EXECUTION
        context |= {
            **page_of(execution),
            "can_cancel": can_cancel and self.has_cancel_permission(request),
        }
        return super().render_change_form(request, context, *args, **options)
