"""Worker processes and their leases."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7


class Worker(models.Model):
    """A worker process and its lease: what it runs is its own until `lease_until`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    # How many steps it can run at a time, and how many it did at its last heartbeat.
    slots = models.PositiveIntegerField(default=1)
    busy = models.PositiveIntegerField(default=0)
    # Per queue, when the newest message that it got was published (POSIX seconds).
    delivered = models.JSONField(default=dict)
    # Per queue, when it last took a message (POSIX seconds).
    taken = models.JSONField(default=dict)
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField()

    class Meta:
        ordering = ("-started_at", "id")
        indexes = (models.Index(fields=["lease_until"], name="worker_by_lease"),)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
