"""The part of the executions' admin that changes something: actions and buttons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from executions import bulk
from executions.admin import controls
from executions.admin.controls import Button
from executions.bulk import Came, Order, Report
from executions.models import Execution
from roles.admin.people import acting
from roles.admin.reading import linked

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    Executions = QuerySet[Execution]
    ExecutionsAdmin = admin.ModelAdmin[Execution]
else:
    ExecutionsAdmin = admin.ModelAdmin

CONFIRMED = "confirmed"
SHOWN_REASONS = 5


def _action(button: Button) -> Callable[..., Any]:
    """Make the list's action of a verb."""

    @admin.action(description=button.label, permissions=["control"])
    def act(
        steering: Steering, request: HttpRequest, executions: Executions
    ) -> HttpResponse | None:
        return steering.control_many(request, button, executions)

    act.__name__ = button.verb
    return act


class Steering(ExecutionsAdmin):
    """One action per verb in the list, one view for all on an execution's page."""

    actions = tuple(map(_action, controls.BUTTONS))

    def has_control_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("executions.change_execution")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.control_one))
        name = "executions_execution_control"
        route = path("<uuid:execution_id>/control/", view, name=name)
        return [route, *super().get_urls()]

    def control_many(
        self, request: HttpRequest, button: Button, executions: Executions
    ) -> HttpResponse | None:
        if button.question and CONFIRMED not in request.POST:
            return self._ask(request, button, executions.count())
        person = acting(request)
        order = Order(verb=button.verb, by=person.get_username(), user=person)
        report = bulk.apply(order, executions)
        for text, level in _told(button, report):
            self.message_user(request, text, level)
        return None

    def control_one(self, request: HttpRequest, execution_id: UUID) -> HttpResponse:
        """Do what a button of an execution's page says, and show what came of it."""
        if not self.has_control_permission(request):
            raise PermissionDenied
        execution = get_object_or_404(self.get_queryset(request), pk=execution_id)
        verb = request.POST.get("verb", "")
        if verb not in controls.FORMS:
            raise BadRequest
        button = controls.BY_VERB.get(verb)
        if button and button.question and CONFIRMED not in request.POST:
            return self._ask(request, button, 1)
        shown = self._carried_out(request, verb, execution)
        here = reverse("admin:executions_execution_change", args=[shown.pk])
        return HttpResponseRedirect(here)

    def _carried_out(
        self, request: HttpRequest, verb: str, execution: Execution
    ) -> Execution:
        """Do it, say what came of it, and return the execution to go on with."""
        form = controls.FORMS[verb](request.POST)
        if not form.is_valid():
            for name, faults in form.errors.items():
                text = f"{name}: {' '.join(map(str, faults))}"
                self.message_user(request, text, messages.ERROR)
            return execution
        try:
            came = controls.carry_out(
                verb, execution, form.cleaned_data, acting(request)
            )
        except bulk.REFUSALS as refused:
            self.message_user(request, str(refused), messages.ERROR)
            return execution
        if isinstance(came, Execution):
            link = linked(execution, str(execution.pk))
            self.message_user(request, format_html("This is a copy of {}.", link))
            return came
        if came:
            self.message_user(request, _done(verb), messages.SUCCESS)
        else:
            self.message_user(request, "It was so already.", messages.WARNING)
        return execution

    def _ask(self, request: HttpRequest, button: Button, number: int) -> HttpResponse:
        """Ask whether it is meant; the answer repeats the request."""
        again = [
            (name, value)
            for name, values in request.POST.lists()
            if name != "csrfmiddlewaretoken"
            for value in values
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": button.label,
            "button": button,
            "number": number,
            "again": again,
            "confirmed": CONFIRMED,
        }
        place = "admin/executions/execution/confirm.html"
        return TemplateResponse(request, place, context)


def _done(verb: str) -> str:
    button = controls.BY_VERB.get(verb)
    return f"The execution {button.done}" if button else "The step is settled."


def _told(button: Button, report: Report) -> list[tuple[str, int]]:
    """Say in sentences what came of many."""
    refused = report.refused
    done, unchanged = (report.count(each) for each in (Came.DONE, Came.UNCHANGED))
    text = f"{button.label}: {done} done"
    if unchanged:
        text += f", {unchanged} were so already"
    if refused:
        text += f", {len(refused)} refused"
    told = [(f"{text}.", messages.WARNING if refused else messages.SUCCESS)]
    reasons = Counter(item.detail for item in refused).most_common(SHOWN_REASONS)
    told += [(f"{number} of them: {why}", messages.ERROR) for why, number in reasons]
    if report.remaining:
        more = f"{report.remaining} more were chosen; at most {bulk.LIMIT} are done at once."
        told.append((more, messages.WARNING))
    return told
