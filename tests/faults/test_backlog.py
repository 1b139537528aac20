"""More work than the workers can do: slowness is no loss."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from config.dev.layout import ROOT
from tests.acceptance.system import step, until
from tests.faults import queues
from tests.faults.fleet import Fleet, watch
from tests.faults.processes import CPU, CPU_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]

MANY = 5000


def test_a_backlog_of_five_thousand_executions_is_not_sent_again(fleet: Fleet) -> None:
    # Given one worker, whose every slot is taken
    fleet.kill(CPU_2)
    same = fleet.role("util.identity")
    made = fleet.orchestration(step("first", same), step("then", same))
    hold = fleet.role("fault.hold")
    slow = fleet.orchestration(step("hold", hold, input_mapping={"release": "go"}))
    for _ in range(2):
        fleet.execute(slow)
    until(lambda: len(fleet.seen("begin", "hold")) == 2, what="a busy worker")

    # When 5,000 executions queue up behind it, and wait for long
    launch_many(fleet, made, MANY)
    assert queues.depth(fleet.env["REDIS_URL"]) >= MANY
    watch(15)
    fleet.release("go")
    until(lambda: done(fleet) > MANY // 10, seconds=120, what="a part of the work")
    fleet.restart(CPU_2)

    # Then all are done, nothing was sent again, and nothing was begun twice
    until(lambda: done(fleet) == MANY + 2, seconds=240, what="all the work")
    assert fleet.violations(lost_nothing=True) == []
    assert attempts(fleet) == [(1, 2 * MANY + 2)]
    assert fleet.log(CPU).count("is no longer ours") == 0


LAUNCH = """
from core_orchestration.models import Orchestration
from executions.launch import launch
made = Orchestration.objects.get(pk={id!r})
for _ in range({count}):
    launch(made, {{}})
"""


def launch_many(fleet: Fleet, made: Mapping[str, Any], count: int) -> None:
    """Start executions as the API does, without its HTTP."""
    code = LAUNCH.format(id=made["id"], count=count)
    command = (sys.executable, "manage.py", "shell", "-v", "0", "-c", code)
    env = dict(fleet.spec(CPU).env)
    subprocess.run(command, env=env, cwd=ROOT, check=True)  # noqa: S603


def done(fleet: Fleet) -> int:
    rows = fleet.query(
        "SELECT count(*) FROM executions_execution "
        "WHERE status = 'completed' AND created_at >= %s",
        fleet.since,
    )
    return int(rows[0][0])


def attempts(fleet: Fleet) -> list[tuple[Any, ...]]:
    return fleet.query(
        "SELECT s.attempt, count(*)::int FROM executions_steprun s "
        "JOIN executions_execution e ON e.id = s.execution_id "
        "WHERE e.created_at >= %s GROUP BY 1",
        fleet.since,
    )
