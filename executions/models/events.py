"""What happened, for viewers."""

from __future__ import annotations

from django.db import models
from django.db.models import Func

from executions.models.executions import Execution


class TransactionIdField(models.BigIntegerField):  # type: ignore[type-arg]
    """PostgreSQL's 64-bit transaction id (`xid8`), as an integer."""

    def db_type(self, connection: object) -> str:
        return "xid8"

    def from_db_value(self, value: object, *_: object) -> int | None:
        return None if value is None else int(str(value))


class Event(models.Model):
    """Something that happened to an execution; never changed, read by viewers."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,
        db_constraint=False,
    )
    transaction_id = TransactionIdField(
        db_default=Func(function="pg_current_xact_id"), editable=False
    )
    type = models.CharField(max_length=40)
    path = models.CharField(max_length=4000, null=True, blank=True)  # noqa: DJ001
    data = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Func(function="clock_timestamp"))

    class Meta:
        ordering = ("execution", "transaction_id", "id")
        indexes = (models.Index(fields=["execution", "id"], name="event_log"),)

    def __str__(self) -> str:
        return f"{self.type} {self.path or ''}".strip()
