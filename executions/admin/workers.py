"""Workers in the admin: who is there, and until when what it runs is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils import timezone

from executions.models import Worker
from roles.admin.reading import ReadOnly

if TYPE_CHECKING:
    WorkersAdmin = admin.ModelAdmin[Worker]
else:
    WorkersAdmin = admin.ModelAdmin


@admin.register(Worker)
class WorkerAdmin(ReadOnly, WorkersAdmin):
    list_display = ("host", "pid", "shown_queues", "started_at", "lease_until", "alive")
    fields = ("id", "host", "pid", "queues", "delivered", "started_at", "lease_until")
    show_full_result_count = False

    @admin.display(description="queues")
    def shown_queues(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(boolean=True)
    def alive(self, worker: Worker) -> bool:
        """Tell by this machine's clock, which may differ from the database's."""
        return worker.lease_until > timezone.now()
