"""Approvals in the admin: what is asked of whom, and a form for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from executions import approvals
from executions.control import Refused
from executions.models import Approval
from roles.admin.people import acting
from roles.admin.readable import ReadableJSONField, shown
from roles.admin.reading import ReadOnly, linked
from roles.problems import InvalidDocument

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    Approvals = QuerySet[Approval]
    ApprovalsAdmin = admin.ModelAdmin[Approval]
else:
    ApprovalsAdmin = admin.ModelAdmin

DECISIONS = (("approved", "Approve"), ("rejected", "Reject"))


class DecisionForm(forms.Form):
    """An answer; what the form of the question asks for goes with an approval."""

    decision = forms.ChoiceField(choices=DECISIONS)
    answer = ReadableJSONField(required=False)
    comment = forms.CharField(required=False, max_length=1000)


class StateFilter(admin.SimpleListFilter):
    """What waits for an answer, and what has one."""

    title = parameter_name = "state"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("decided", "decided")]

    def queryset(self, request: HttpRequest, rows: Approvals) -> Approvals:
        if self.value() == "open":
            return rows.filter(approvals.OPEN)
        return rows.filter(approvals.DECIDED) if self.value() else rows


@admin.register(Approval)
class ApprovalAdmin(ReadOnly, ApprovalsAdmin):
    list_display = ("prompt", "state", "path", "asked_at", "expires_at", "decided_by")
    list_filter = (StateFilter,)
    list_select_related = ("decided_by",)
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    fields = (
        "id",
        "of_execution",
        "path",
        "prompt",
        "shown_form",
        "users",
        "groups",
        "permission",
        "state",
        "asked_at",
        "expires_at",
        "decided_at",
        "decided_by",
        "channel",
        "shown_answer",
        "comment",
    )
    readonly_fields = ("of_execution", "shown_form", "shown_answer", "state")
    change_form_template = "admin/executions/approval/change_form.html"

    @admin.display(description="status")
    def state(self, approval: Approval) -> str:
        return approvals.status_of(approval)

    @admin.display(description="execution")
    def of_execution(self, approval: Approval) -> SafeString:
        return linked(approval.execution, str(approval.execution_id))

    @admin.display(description="form", empty_value="none")
    def shown_form(self, approval: Approval) -> SafeString | None:
        return None if approval.form is None else shown(approval.form)

    @admin.display(description="answer", empty_value="none")
    def shown_answer(self, approval: Approval) -> SafeString | None:
        return None if approval.answer is None else shown(approval.answer)

    def get_queryset(self, request: HttpRequest) -> Approvals:
        return approvals.with_state(super().get_queryset(request))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.decide))
        name = "executions_approval_decide"
        return [path("<uuid:pk>/decide/", view, name=name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> Any:
        approval: Any = options["obj"]
        mine = approvals.answerable_by(acting(request)).filter(pk=approval.pk)
        if approval.is_open and mine.exists():
            context["decision"] = DecisionForm()
        return super().render_change_form(request, context, *args, **options)

    def decide(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Take the answer of the page's form, and show what came of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        approval = get_object_or_404(self.get_queryset(request), pk=pk)
        form = DecisionForm(request.POST)
        if form.is_valid():
            self._answer(request, approval, form.cleaned_data)
        for name, faults in form.errors.items():
            text = f"{name}: {' '.join(map(str, faults))}"
            self.message_user(request, text, messages.ERROR)
        here = reverse("admin:executions_approval_change", args=[approval.pk])
        return HttpResponseRedirect(here)

    def _answer(
        self, request: HttpRequest, approval: Approval, given: dict[str, Any]
    ) -> None:
        decision = given["decision"]
        try:
            approvals.answer(
                approval.pk,
                by=acting(request),
                decision=decision,
                channel="admin",
                answer=given["answer"] if decision == "approved" else None,
                comment=given["comment"],
            )
        except (Refused, InvalidDocument) as refused:
            self.message_user(request, str(refused), messages.ERROR)
        else:
            self.message_user(request, f"It is {decision}.", messages.SUCCESS)
