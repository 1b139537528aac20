"""The orchestrations' admin, with a way to run them from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils.html import format_html

from core_orchestration.admin import OrchestrationAdmin
from core_orchestration.examples import example_input
from core_orchestration.models import Orchestration
from executions import launch
from executions.admin.lists import FromReplica
from roles.admin.people import acting
from roles.admin.reading import linked

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(Orchestration)


@admin.register(Orchestration)
class RunnableOrchestrationAdmin(FromReplica, OrchestrationAdmin):
    """Adds the action that needs to know executions."""

    actions = ("run", *OrchestrationAdmin.actions)

    @admin.action(
        description="Run with the first example of the input", permissions=["change"]
    )
    def run(self, request: HttpRequest, queryset: QuerySet[Orchestration]) -> None:
        for orchestration in queryset:
            self._run(request, orchestration)

    def _run(self, request: HttpRequest, orchestration: Orchestration) -> None:
        try:
            execution = launch.launch(
                orchestration, example_input(orchestration), by=acting(request)
            )
        except (launch.NotRunnable, launch.InvalidInput) as refused:
            text = f"{orchestration} does not run. {refused}"
            self.message_user(request, text, messages.ERROR)
        else:
            link = linked(execution, str(execution.pk))
            done = format_html("{} runs: {}", orchestration.name, link)
            self.message_user(request, done)
