"""Workers in the admin: who is there, how busy, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from executions import fleet
from executions.models import Execution, Worker
from roles.admin.reading import ReadOnly

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    WorkersAdmin = admin.ModelAdmin[Worker]
else:
    WorkersAdmin = admin.ModelAdmin


@admin.register(Worker)
class WorkerAdmin(ReadOnly, WorkersAdmin):
    list_display = (
        "host",
        "pid",
        "shown_queues",
        "slots",
        "busy",
        "started_at",
        "last_heartbeat_at",
        "lease_until",
        "alive",
    )
    fields = (
        "id",
        "host",
        "pid",
        "queues",
        "slots",
        "busy",
        "runs",
        "taken",
        "delivered",
        "started_at",
        "last_heartbeat_at",
        "lease_until",
        "alive",
    )
    readonly_fields = ("runs", "alive")
    show_full_result_count = False

    def get_fields(self, request: HttpRequest, obj: Worker | None = None) -> Any:
        """Show what it runs to those who may see executions."""
        may_see = request.user.has_perm("executions.view_execution")
        return [each for each in self.fields if each != "runs" or may_see]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return fleet.workers()

    @admin.display(description="queues")
    def shown_queues(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(boolean=True)
    def alive(self, worker: Any) -> bool:
        """Tell by the database's clock, as everybody does who takes steps away."""
        return bool(worker.alive)

    @admin.display(description=f"runs (the oldest {fleet.MOST_SHOWN})")
    def runs(self, worker: Worker) -> SafeString:
        running = fleet.running([worker.pk], of=Execution.objects.active())
        return format_html_join(
            mark_safe("<br>"),
            '<a href="{}">{}</a> {} since {}',
            (
                (_page_of(each.execution_id), each.execution_id, each.path, each.since)
                for each in running.get(worker.pk, ())
            ),
        )


def _page_of(execution_id: UUID) -> str:
    return reverse("admin:executions_execution_change", args=[execution_id])
