"""Processes that die in the middle of a step, alone or with all their siblings."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import DEFAULT_LEASE, Fleet
from tests.faults.processes import CPU, CPU_2

pytestmark = pytest.mark.fault


def test_a_killed_childs_step_runs_again_and_its_neighbour_goes_on(
    fleet: Fleet,
) -> None:
    # Given two steps of a group that run in two children of one worker
    fleet.kill(CPU_2)
    hold = fleet.role("fault.hold")
    execution = fleet.execute(
        fleet.orchestration(
            step(
                "victim",
                hold,
                parallel_group="g",
                input_mapping={"only_first": True},
            ),
            step(
                "neighbour",
                hold,
                parallel_group="g",
                input_mapping={"release": "neighbour"},
            ),
        )
    )
    victim = fleet.started(execution, "victim")
    until(lambda: len(fleet.begun()) == 2, what="both at work")

    # When the child of one of them is killed
    _, pid = fleet.holder(victim["id"])
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(fleet.seen("end", "victim")) == 1, what="the second attempt")

    # Then that step has run again, and the other was never disturbed
    fleet.release("neighbour")
    logs = logs_by_key(fleet.finished(execution))
    assert (logs["victim"]["attempt"], logs["neighbour"]["attempt"]) == (2, 1)
    assert fleet.begun() == {"victim": 2, "neighbour": 1}


@pytest.mark.slow
def test_a_killed_workers_step_resumes_on_another_within_thirty_seconds(
    fleet: Fleet,
) -> None:
    # Given two workers with the lease that the promise is made for
    for name in (CPU, CPU_2):
        fleet.restart(name, **DEFAULT_LEASE)
    hold = fleet.role("fault.hold")
    made = fleet.orchestration(
        step("before", fleet.role("fault.effect")),
        step("hold", hold, input_mapping={"only_first": True}),
        step("after", fleet.role("fault.effect")),
    )
    execution = fleet.execute(made)
    log = fleet.started(execution, "hold")
    until(lambda: fleet.seen("begin", "hold"), what="work")

    # When the one that runs the step is killed with all its children
    name, _ = fleet.holder(log["id"])
    fleet.kill(name)
    killed = time.monotonic()
    ended = fleet.finished(execution, seconds=60)

    # Then the other resumed it in time, and nothing else ran twice
    second = fleet.seen("begin", "hold")[1]
    assert ended["status"] == "completed"
    assert second.at - killed < 30
    assert fleet.begun() == {"before": 1, "hold": 2, "after": 1}


@pytest.mark.slow
def test_the_finished_half_of_a_group_is_not_run_again(fleet: Fleet) -> None:
    # Given a worker that has done one half of a group and works on the other
    fleet.kill(CPU_2)
    effect, hold = fleet.role("fault.effect"), fleet.role("fault.hold")
    execution = fleet.execute(
        fleet.orchestration(
            step("done", effect, parallel_group="g"),
            step("open", hold, parallel_group="g", input_mapping={"only_first": True}),
            step("after", effect),
        )
    )
    until(
        lambda: statuses(fleet, execution) == {"done": "completed", "open": "running"},
        what="half of the group",
    )
    until(lambda: fleet.seen("begin", "open"), what="work on the other half")

    # When the whole worker is killed and another one comes
    fleet.kill(CPU)
    fleet.restart(CPU_2)
    ended = fleet.finished(execution, seconds=40)

    # Then only the open half ran again, and what follows the group ran once
    assert ended["status"] == "completed"
    assert fleet.begun() == {"done": 1, "open": 2, "after": 1}


def statuses(fleet: Fleet, execution: str) -> dict[str, str]:
    logs = logs_by_key(fleet.execution(execution))
    return {key: log["status"] for key, log in logs.items()}
