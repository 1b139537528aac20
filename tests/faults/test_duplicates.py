"""Messages that are delivered more than once."""

from __future__ import annotations

import pytest

from tests.acceptance.system import step, until
from tests.faults import queues
from tests.faults.fleet import NAMES, Fleet
from tests.faults.processes import CPU, CPU_2

pytestmark = pytest.mark.fault


@pytest.mark.slow
def test_every_message_delivered_three_times_changes_nothing(fleet: Fleet) -> None:
    # Given a Valkey that takes every message three times, whoever sends it
    proxy = fleet.valkey_proxy()
    proxy.copies = 3
    for name in NAMES:
        fleet.launch(name, REDIS_URL=proxy.url)
    for name in NAMES:
        fleet.await_ready(name)

    # When executions with chains, groups and steps of both pools run
    effect, io = fleet.role("fault.effect"), fleet.role("fault.aeffect")
    made = fleet.orchestration(
        step("first", effect),
        step("second", io),
        step("left", effect, parallel_group="g"),
        step("right", io, parallel_group="g"),
        step("last", effect),
    )
    executions = [fleet.execute(made) for _ in range(20)]
    ended = [fleet.finished(each) for each in executions]

    # Then each did every step once, and nothing was taken for lost
    assert {each["status"] for each in ended} == {"completed"}
    names = ("first", "second", "left", "right", "last")
    assert fleet.begun() == dict.fromkeys(names, 20)
    assert fleet.violations(lost_nothing=True) == []
    assert proxy.multiplied >= 20 * 5


def test_a_groups_member_delivered_twice_does_not_end_the_group_early(
    fleet: Fleet,
) -> None:
    # Given a group in the queue, one of its messages twice
    for name in (CPU, CPU_2):
        fleet.kill(name)
    effect, hold = fleet.role("fault.effect"), fleet.role("fault.hold")
    given = {"parallel_group": "g", "input_mapping": {"release": "others"}}
    execution = fleet.execute(
        fleet.orchestration(
            step("twice", effect, parallel_group="g"),
            step("other", hold, **given),
            step("another", hold, **given),
            step("after", effect),
        )
    )
    redis_url = fleet.env["REDIS_URL"]
    assert queues.copy_messages(redis_url, times=1, path="twice") == 1

    before = queues.unacknowledged(redis_url)  # of workers that were killed once

    # When both are delivered while the other members are at work
    fleet.restart(CPU)
    fleet.restart(CPU_2)
    until(lambda: len(fleet.begun()) == 3, what="the group at work")
    until(lambda: queues.depth(redis_url) == 0, what="everything delivered")
    taken = before + 2
    until(lambda: queues.unacknowledged(redis_url) == taken, what="both done with")

    # Then the join waits for all members, and fires once
    assert "after" not in fleet.begun()
    fleet.release("others")
    assert fleet.finished(execution)["status"] == "completed"
    assert fleet.begun() == {"twice": 1, "other": 1, "another": 1, "after": 1}
    assert fleet.violations(lost_nothing=True) == []
