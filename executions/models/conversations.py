"""What agents said and did, as it happened."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Exchange(models.Model):
    """
    One turn of an agent's step: messages to and from the model, or a tool's call.

    Rows are added as the work goes on, so that an attempt that is lost leaves its
    answers to the next one. `data` of `messages` is a list as pydantic-ai writes them;
    of `tool`: {"tool", "arguments", "outcome", "result", "duration_ms"}; of `code` the
    same with the program in `arguments`.
    """

    id = models.BigAutoField(primary_key=True)
    execution_id = models.UUIDField()
    step_run_id = models.UUIDField()
    path = models.CharField(max_length=4000)
    attempt = models.PositiveIntegerField()
    kind = models.CharField(max_length=10)  # messages, tool or code
    call_id = models.CharField(max_length=200, blank=True, default="")
    data = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(fields=["step_run_id", "id"], name="exchange_of_step"),
            models.Index(fields=["execution_id", "id"], name="exchange_of_execution"),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.path}"
