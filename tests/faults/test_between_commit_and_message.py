"""
Deaths between the commit of what happened and the message that carries it on.

Two kinds of death: a pool's child alone, whose message its parent gives back at
once, and a worker with all its children, whose messages nobody gives back.
"""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.acceptance.system import step, until
from tests.faults.fleet import Fleet
from tests.faults.processes import CPU, CPU_2, WEB

pytestmark = pytest.mark.fault

POINTS = [
    "after_commit@first",  # the outcome is recorded, nothing was sent yet
    "in_dispatch",  # the execution has moved on, its group was not sent
    "after_publish@first",  # the group is sent, the message not acknowledged
    "before_part@left",  # a member is recorded, the join not looked at
    "after_part",  # the last member is counted, the join not published
]
QUICK = {"after_part"}
ONCE_EACH = {"first": 1, "left": 1, "right": 1, "last": 1}


def orchestration(fleet: Fleet) -> dict[str, Any]:
    effect = fleet.role("fault.effect")
    return fleet.orchestration(
        step("first", effect),
        step("left", effect, parallel_group="g"),
        step("right", effect, parallel_group="g"),
        step("last", effect),
    )


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=() if point in QUICK else pytest.mark.slow)
        for point in POINTS
    ],
)
def test_a_childs_death_between_commit_and_message_repeats_nothing(
    fleet: Fleet, point: str
) -> None:
    # Given a worker of which one child dies at this point
    fleet.kill(CPU_2)
    fleet.restart(CPU, CORE_FAIL_AT=f"{point}:kill*1")

    # When an execution comes there
    execution = fleet.execute(orchestration(fleet))
    until(lambda: fleet.has_reached(point.partition("@")[0]), what=point)

    # Then it goes on within the promised time, each step done once
    assert fleet.finished(execution, seconds=30)["status"] == "completed"
    assert fleet.begun() == ONCE_EACH


@pytest.mark.slow
@pytest.mark.parametrize("point", ["after_commit@first", "after_publish@first", *QUICK])
def test_a_whole_workers_death_between_commit_and_message_repeats_nothing(
    fleet: Fleet, point: str
) -> None:
    # Given a worker that stands still at this point
    fleet.kill(CPU_2)
    fleet.restart(CPU, CORE_FAIL_AT=f"{point}:stall=60*1")
    execution = fleet.execute(orchestration(fleet))
    until(lambda: fleet.has_reached(point.partition("@")[0]), what=point)

    # When all of it is killed there, and another worker comes
    fleet.kill(CPU)
    killed = time.monotonic()
    fleet.restart(CPU_2)
    ended = fleet.finished(execution, seconds=60)

    # Then it went on within the promised time, each step done once
    assert ended["status"] == "completed"
    assert time.monotonic() - killed < 30
    assert fleet.begun() == ONCE_EACH


@pytest.mark.slow
def test_an_execution_whose_web_process_died_before_sending_it_runs(
    fleet: Fleet,
) -> None:
    # Given a web process that dies once an execution is recorded
    made = orchestration(fleet)
    fleet.restart(WEB, CORE_FAIL_AT="in_dispatch:kill*1")

    # When a client asks for one and gets no answer
    with pytest.raises(httpx.HTTPError):
        fleet.execute(made)
    fleet.restart(WEB)

    # Then it is there nevertheless, and runs
    (found,) = fleet.get("executions/")["results"][:1]
    assert found["orchestration_id"] == made["id"]
    assert fleet.finished(found["id"])["status"] == "completed"
    assert fleet.begun() == ONCE_EACH
