"""Crowds in real processes: in great numbers, with few slots, asked to leave, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.system import step, until
from tests.faults.fleet import NAMES, Fleet, running
from tests.faults.processes import IO, IO_2, WEB

pytestmark = [pytest.mark.fault, pytest.mark.slow]

LAUNCH = """
from core_orchestration.models import Orchestration
from executions.launch import launch_many
one = Orchestration.objects.get(pk={id!r})
launch_many(one, [{{}} for _ in range({size})])
"""
SLOTS = 4


@pytest.fixture(scope="module")
def narrow_fleet() -> Iterator[Fleet]:
    """A fleet whose io worker has few slots."""
    with running(names=NAMES, env={"CORE_IO_SLOTS": str(SLOTS)}) as fleet:
        yield fleet


def launch(fleet: Fleet, *steps: dict[str, Any], size: int) -> str:
    """Start executions together, and return their orchestration's id."""
    made = fleet.orchestration(*steps)
    spec = fleet.spec(WEB)
    subprocess.run(  # noqa: S603
        [
            sys.executable,
            "manage.py",
            "shell",
            "-c",
            LAUNCH.format(id=made["id"], size=size),
        ],
        env=spec.env,
        cwd=spec.cwd,
        check=True,
    )
    return str(made["id"])


def statuses(fleet: Fleet, orchestration: str) -> Counter[str]:
    rows = fleet.query(
        "SELECT status FROM executions_execution WHERE orchestration_id = %s",
        orchestration,
    )
    return Counter(status for (status,) in rows)


def await_completed(fleet: Fleet, orchestration: str, size: int) -> None:
    until(
        lambda: statuses(fleet, orchestration) == {"completed": size},
        seconds=60,
        what="the end of all",
    )


def begun_by_execution(fleet: Fleet, key: str) -> Counter[str]:
    """How often a step began in each execution, as the sink saw it."""
    return Counter(each.body["execution"] for each in fleet.seen("begin", key))


def told_twice(fleet: Fleet, orchestration: str) -> list[tuple[Any, ...]]:
    return fleet.query(
        "SELECT v.path, v.type FROM executions_event v JOIN executions_execution e "
        "ON e.id = v.execution_id WHERE e.orchestration_id = %s "
        "GROUP BY v.execution_id, v.path, v.type HAVING count(*) > 1",
        orchestration,
    )


def most_at_once(fleet: Fleet) -> int:
    """How many steps were between their beginning and their end at most."""
    changes = [(each.at, 1) for each in fleet.sink.at("/begin")]
    changes += [(each.at, -1) for each in fleet.sink.at("/end")]
    now = most = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def test_two_hundred_executions_wait_side_by_side(fleet: Fleet) -> None:
    # Given more executions than travel in one message, and steps that take a moment
    pause, effect = fleet.role("fault.apause"), fleet.role("fault.aeffect")
    steps = [step("one", pause), step("two", pause), step("last", effect)]

    # When they are launched together
    orchestration = launch(fleet, *steps, size=200)
    await_completed(fleet, orchestration, 200)

    # Then each did each step once, and many at the same time
    for key in ("one", "two", "last"):
        begun = begun_by_execution(fleet, key)
        assert (len(begun), set(begun.values())) == (200, {1})
    assert told_twice(fleet, orchestration) == []
    assert most_at_once(fleet) > 20


def test_a_hundred_members_are_joined_once(fleet: Fleet) -> None:
    # Given a large group of steps that await
    pause = fleet.role("fault.apause")
    members = [step(f"m{n}", pause, parallel_group="g") for n in range(100)]
    made = fleet.orchestration(*members, step("after", fleet.role("fault.effect")))

    # When it is executed
    execution = fleet.execute(made)
    ended = fleet.finished(execution, seconds=60)

    # Then each member ran once, and what follows them, too
    assert ended["status"] == "completed"
    begun = fleet.begun()
    assert (len(begun), set(begun.values())) == (101, {1})
    assert told_twice(fleet, made["id"]) == []


def test_every_execution_of_a_crowd_recovers_when_its_worker_is_killed(
    fleet: Fleet,
) -> None:
    # Given executions in the middle of a step for which they wait side by side
    hold, effect = fleet.role("fault.ahold"), fleet.role("fault.aeffect")
    steps = [
        step("before", effect),
        step("hold", hold, input_mapping={"only_first": True}),
        step("after", effect),
    ]
    orchestration = launch(fleet, *steps, size=40)
    until(lambda: len(fleet.seen("begin", "hold")) == 40, what="all at work")

    # When their worker is killed and another one comes
    fleet.kill(IO)
    fleet.restart(IO)
    await_completed(fleet, orchestration, 40)

    # Then each of them did again what it was at, and nothing else
    assert set(begun_by_execution(fleet, "before").values()) == {1}
    assert set(begun_by_execution(fleet, "hold").values()) == {2}
    assert set(begun_by_execution(fleet, "after").values()) == {1}


def test_a_crowd_whose_worker_is_asked_to_leave_finishes_its_steps_first(
    fleet: Fleet,
) -> None:
    # Given executions in the middle of a step for which they wait side by side
    hold, effect = fleet.role("fault.ahold"), fleet.role("fault.aeffect")
    steps = [
        step("hold", hold, input_mapping={"release": "work"}),
        step("after", effect),
    ]
    orchestration = launch(fleet, *steps, size=40)
    until(lambda: len(fleet.seen("begin", "hold")) == 40, what="all at work")
    leaving = fleet.children[IO]

    # When their worker is asked to leave, and another one comes
    leaving.signal(signal.SIGTERM)
    fleet.restart(IO_2)
    fleet.release("work")
    await_completed(fleet, orchestration, 40)

    # Then nothing was done twice, what followed was the other's, and it ended well
    assert set(begun_by_execution(fleet, "hold").values()) == {1}
    assert set(begun_by_execution(fleet, "after").values()) == {1}
    assert told_twice(fleet, orchestration) == []
    held = {each.body["pid"] for each in fleet.seen("begin", "hold")}
    after = {each.body["pid"] for each in fleet.seen("begin", "after")}
    assert not held & after
    assert leaving.wait(20) == 0


def test_a_worker_takes_no_more_steps_than_it_has_slots(narrow_fleet: Fleet) -> None:
    # Given an io worker with few slots, and steps that take a moment
    fleet = narrow_fleet
    fleet.begin()
    pause = fleet.role("fault.apause")

    # When many executions come at once, and a large group
    orchestration = launch(fleet, step("one", pause), step("two", pause), size=40)
    members = [step(f"m{n}", pause, parallel_group="g") for n in range(40)]
    execution = fleet.execute(fleet.orchestration(*members))
    await_completed(fleet, orchestration, 40)
    assert fleet.finished(execution, seconds=60)["status"] == "completed"

    # Then all were done, each step once, and the slots were all that was used
    assert set(begun_by_execution(fleet, "one").values()) == {1}
    assert set(begun_by_execution(fleet, "two").values()) == {1}
    assert len(fleet.sink.at("/begin")) == 120
    assert 1 < most_at_once(fleet) <= 2 * SLOTS
    assert fleet.violations() == []
