"""Waiting that outlives every process and the broker: timers, pauses, decisions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.processes import IO, RECONCILER_2
from tests.faults.upheaval import restart_all

pytestmark = [pytest.mark.fault, pytest.mark.slow]

THREE_HOURS_MS = 3 * 60 * 60 * 1000
# As an operator does who finds that three hours are too long.
BRING_NEAR = """
WITH sooner AS (
  UPDATE executions_steprun SET retry_at = retry_at - interval '3 hours'
  WHERE execution_id = %s AND status = 'retrying' RETURNING execution_id, retry_at)
UPDATE executions_execution x SET wake_at = sooner.retry_at
FROM sooner WHERE x.id = sooner.execution_id RETURNING x.wake_at <= now()
"""


def test_what_waits_for_hours_neither_moves_nor_gets_lost_when_all_is_restarted(
    fleet: Fleet,
) -> None:
    # Given a retry three hours away, a paused execution, and one that needs attention
    far, paused, aside = retrying(fleet), resting(fleet), left_alone(fleet)
    waiting = [unchanging(fleet, each) for each in (far, paused, aside)]
    begun = fleet.begun()
    assert begun == {"late": 1, "before": 1, "once": 1}

    # When workers and reconciler are restarted, and the broker has lost everything
    restart_all(fleet)

    # Then nothing has moved
    assert [unchanging(fleet, each) for each in (far, paused, aside)] == waiting
    assert fleet.begun() == begun

    # When the three hours are over, and two reconcilers look at it
    fleet.restart(RECONCILER_2)
    assert fleet.query(BRING_NEAR, far) == [(True,)]

    # Then the retry fires once, and what follows it runs once
    ended = fleet.finished(far, seconds=20)
    assert ended["status"] == "completed"
    assert logs_by_key(ended)["late"]["attempt"] == 2
    assert fleet.begun() == begun | {"late": 2, "after_late": 1}

    # And people find the others where they left them
    fleet.post(f"executions/{paused}/resume/", None, status=200)
    body = {"path": "once", "action": "complete", "output": 1}
    fleet.post(f"executions/{aside}/settle/", body, status=200)
    assert fleet.finished(paused)["status"] == "completed"
    assert fleet.finished(aside)["status"] == "completed"
    followed = {"late": 2, "after_late": 1, "after_pause": 1, "after_once": 1}
    assert fleet.begun() == begun | followed


def retrying(fleet: Fleet) -> str:
    """Make an execution with a step that failed, and is tried again in three hours."""
    patient = {
        "max_retries": 1,
        "retry_delay_ms": THREE_HOURS_MS,
        "retry_max_delay_ms": THREE_HOURS_MS,
    }
    made = fleet.orchestration(
        step("late", fleet.role("fault.succeed_later"), **patient),
        step("after late", fleet.role("fault.effect")),
        timeout_ms=2 * THREE_HOURS_MS,
    )
    execution = fleet.execute(made)
    until(lambda: state_of(fleet, execution, "late") == "retrying", what="a failure")
    return execution


def resting(fleet: Fleet) -> str:
    """Make an execution that was paused between two steps."""
    effect = fleet.role("fault.effect")
    made = fleet.orchestration(
        step("before", fleet.role("fault.ahold"), input_mapping={"release": "go"}),
        step("after pause", effect),
    )
    execution = fleet.execute(made)
    until(lambda: fleet.seen("begin", "before"), what="work")
    fleet.post(f"executions/{execution}/pause/", None, status=200)
    fleet.release("go")
    until(lambda: state_of(fleet, execution, "before") == "completed", what="its end")
    return execution


def left_alone(fleet: Fleet) -> str:
    """Make an execution whose step may not run twice, and has lost its worker."""
    made = fleet.orchestration(
        step("once", fleet.role("fault.ahold"), at_most_once=True, input_mapping={}),
        step("after once", fleet.role("fault.effect")),
    )
    execution = fleet.execute(made)
    until(lambda: fleet.seen("begin", "once"), what="work")
    fleet.kill(IO)
    until(
        lambda: state_of(fleet, execution, "once") == "needs_attention",
        what="a call for attention",
    )
    fleet.launch(IO)
    return execution


def state_of(fleet: Fleet, execution: str, key: str) -> str | None:
    log = logs_by_key(fleet.execution(execution)).get(key)
    return str(log["status"]) if log else None


def unchanging(fleet: Fleet, execution: str) -> dict[str, Any]:
    """Read what must stay as it is while an execution waits."""
    found: dict[str, Any] = fleet.execution(execution)
    assert found["status"] in ("running", "paused", "waiting")
    assert found["waiting_on"]["kind"] in (
        "retry_timer",
        "paused",
        "needs_attention",
    ), found
    return found
