"""What tests of the control verbs and of time ask of the record, and let pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from executions import control, recovery, resumption
from executions.database import fetch
from executions.lifecycle import Claim
from executions.models import Execution
from tests.integration.engine import claimed, end_lease, now_of, run_at, told, worker

ENDS = ("completed", "failed", "cancelled", "timed_out", "skipped")
PAST = Now() - timedelta(seconds=1)


def statuses(execution: Execution) -> dict[str, str]:
    return dict(execution.step_runs.values_list("path", "status"))


def outputs(execution: Execution) -> dict[str, Any]:
    return dict(execution.step_runs.values_list("path", "output"))


def error_of(execution: Execution) -> dict[str, Any]:
    error = now_of(execution).error
    assert error is not None
    return dict(error)


def times_told(execution: Execution, event: str) -> int:
    return told(execution).count(event)


def check_one_end(execution: Execution) -> None:
    """Check that the execution, and each of its steps, ended exactly once."""
    events, status = told(execution), now_of(execution).status
    ends = [event for event in events if event in {f"execution.{e}" for e in ENDS}]
    assert ends == [f"execution.{status}"] == events[-1:]
    for path, state in statuses(execution).items():
        assert [e for e in events if e in {f"step.{end} {path}" for end in ENDS}] == [
            f"step.{state} {path}"
        ]


def let_timer_fire(execution: Execution) -> None:
    """Have the reconciler's next round look at an execution."""
    Execution.objects.filter(pk=execution.pk).update(wake_at=PAST)


def let_grace_pass(execution: Execution) -> None:
    """Let an execution have been asked to end long ago, its timer due."""
    request = now_of(execution).cancel_request
    assert request is not None
    asked = {**request, "at": "2020-01-01T00:00:00+00:00"}
    Execution.objects.filter(pk=execution.pk).update(cancel_request=asked, wake_at=PAST)


def let_pass(execution: Execution, seconds: float) -> None:
    """Let everything about an execution have happened, or be due, so much earlier."""
    moved = timedelta(seconds=seconds)
    of_execution = ("dispatched_at", "deadline_at", "wake_at", "paused_at")
    of_step = ("started_at", "finished_at", "retry_at", "deadline_at")
    Execution.objects.filter(pk=execution.pk).update(
        **{name: F(name) - moved for name in of_execution}
    )
    execution.step_runs.update(
        **{name: F(name) - moved for name in (*of_step, "attempt_deadline")}
    )


def lost(execution: Execution, path: str) -> Claim:
    """Claim a step for a worker whose lease then ends."""
    gone = worker()
    claim = claimed(now_of(execution), path, by=gone)
    end_lease(gone)
    return claim


def after_statement(
    monkeypatch: Any, module: Any, containing: str, then: Callable[[], object]
) -> None:
    """Have something happen, once, right after a statement of `module`."""
    fetch = module.fetch
    left = [then]

    def watched(sql: str, params: Any) -> Any:
        rows = fetch(sql, params)
        if left and containing in sql:
            left.pop()()
        return rows

    monkeypatch.setattr(module, "fetch", watched)


def seconds_until(execution: Execution, field: str, path: str | None = None) -> float:
    """Say how far away one of the times of an execution, or of a step, is."""
    at = getattr(run_at(execution, path) if path else now_of(execution), field)
    assert at is not None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM %s::timestamptz - clock_timestamp())", [at]
        )
        row = cursor.fetchone()
    assert row is not None
    return float(row[0])


def take_timers() -> None:
    """Take the timers that are due as a reconciler does that dies right after."""
    params = {
        "batch": 9,
        "grace": control.CANCEL_GRACE,
        "put_off": resumption.PUT_OFF,
    }
    fetch(recovery._DUE, params)
