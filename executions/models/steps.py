"""Step runs, and the frames in which they stand."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from executions.models.executions import Execution
from executions.states import (
    StepStatus,
    values,
)


class StepRun(models.Model):
    """
    One step of one execution: its attempts, outcome and output.

    Frames have rows here, too: each run of a body is one, with a `cursor`. Its input is
    what the frame gives to its steps (the item, the turn), its output what it came to.

    The id is a function of the execution's id and the path (see `identity`): two
    claims of one step meet in the primary key, and the idempotency key that effects
    carry survives even a lost row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    # A claim makes the run from its execution's row, which it holds: a constraint would
    # lock and read that row once more for every step.
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="step_runs",
        db_index=False,
        db_constraint=False,
    )
    ordinal = models.PositiveIntegerField()
    path = models.CharField(max_length=4000)
    key = models.CharField(max_length=64)
    role_name = models.CharField(max_length=200, default="")
    status = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    # Attempts that do not count: those before somebody last had the step run again, and
    # those that were cut short because a pause moved a deadline.
    spent = models.PositiveIntegerField(db_default=0)
    # Grows at every claim; what an older attempt reports affects no row.
    fence = models.PositiveIntegerField(default=0)
    # Who has the step, or holds the message that leads back to it or on from it; without
    # one, no message does, and whoever looks at the record sends it.
    worker = models.UUIDField(null=True, blank=True)
    input = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    exports = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    usage = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    attempt_deadline = models.DateTimeField(null=True, blank=True)
    # The end of all attempts together.
    deadline_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Of a step that waits for an event: its name.
    awaits = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    # Of a step that the engine does itself: what it keeps in mind until the end.
    state = models.JSONField(null=True, blank=True)
    # Of a frame: the block that its canvas goes on with, as of an execution.
    cursor = models.PositiveIntegerField(null=True, blank=True)
    # Its place among the frames of its container.
    number = models.PositiveIntegerField(null=True, blank=True)
    # Once it has ended, whether its container has taken note of that.
    heard = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ("execution", "ordinal", "path")
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=values(StepStatus)), name="step_run_status"
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(worker__isnull=False),
                name="step_run_running_has_worker",
            ),
        )
        indexes = (
            # The log of an execution, and the last unfinished member of a group.
            models.Index(fields=["execution", "ordinal"], name="step_run_log"),
            # What containers have still to hear of.
            models.Index(
                fields=["execution"],
                condition=Q(heard=False),
                name="step_run_unheard",
            ),
            # Who waits for an event that has come in.
            models.Index(
                fields=["awaits"],
                condition=Q(awaits__isnull=False, status="waiting"),
                name="step_run_awaits",
            ),
        )

    def __str__(self) -> str:
        return self.path
