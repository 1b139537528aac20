"""A broker that is wiped, away, or refuses to be written to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults import queues
from tests.faults.fleet import Fleet, watch
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER

pytestmark = pytest.mark.fault

Refusing = Callable[[str], contextlib.AbstractContextManager[None]]


@pytest.mark.slow
def test_two_hundred_executions_survive_a_wiped_valkey(fleet: Fleet) -> None:
    # Given 200 executions, half of them at work and half of them in the queue
    hold, effect = fleet.role("fault.ahold"), fleet.role("fault.effect")
    at_work = fleet.orchestration(
        step("io", hold, input_mapping={"release": "io"}),
        step("left", effect, parallel_group="g"),
        step("right", effect, parallel_group="g"),
        step("last", effect),
    )
    queued = fleet.orchestration(step("first", effect), step("then", effect))
    for name in (CPU, CPU_2):
        fleet.freeze(name)
    executions = [fleet.execute(made) for made in (at_work, queued) * 100]
    until(lambda: len(fleet.seen("begin", "io")) == 100, what="half at work")

    # When Valkey is killed, loses all, and comes back
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)
    back = time.monotonic()
    assert queues.depth(fleet.env["REDIS_URL"]) == 0
    fleet.thaw(CPU)
    fleet.thaw(CPU_2)
    fleet.release("io")

    # Then all of them are done soon, and no step was done twice
    until(lambda: completed(fleet) == len(executions), seconds=90, what="all done")
    assert time.monotonic() - back < 60
    steps = ("io", "left", "right", "last", "first", "then")
    assert fleet.begun() == dict.fromkeys(steps, 100)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60])
def test_while_valkey_is_away_executions_are_accepted_and_run_later(
    fleet: Fleet, seconds: float
) -> None:
    # Given a step at work in each pool
    effect = fleet.role("fault.effect")
    holding = [
        fleet.execute(
            fleet.orchestration(
                step("hold", fleet.role(name), input_mapping={"release": "work"}),
                step("after", effect),
            )
        )
        for name in ("fault.hold", "fault.ahold")
    ]
    until(lambda: len(fleet.seen("begin", "hold")) == 2, what="both at work")
    made = fleet.orchestration(step("posted", effect))

    # When Valkey goes, and clients go on
    fleet.valkey.kill()
    gone = time.monotonic()
    posted = []
    while time.monotonic() - gone < seconds:
        posted.append(fleet.execute(made))
        answer = fleet.client.get(f"executions/{posted[-1]}/")
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        watch(1.0)
    running = [logs_by_key(fleet.execution(each))["hold"] for each in holding]
    assert [log["status"] for log in running] == ["running", "running"]
    fleet.valkey.start()
    back = time.monotonic()
    fleet.release("work")

    # Then all that was accepted runs, in time, and what ran was never disturbed
    expected = len(posted) + len(holding)
    until(lambda: completed(fleet) == expected, seconds=90, what="all done")
    assert time.monotonic() - back < 45
    assert fleet.begun() == {"hold": 2, "after": 2, "posted": len(posted)}


@pytest.mark.slow
@pytest.mark.parametrize("refusing", [queues.read_only, queues.full])
def test_a_valkey_that_refuses_writes_costs_no_worker_and_no_execution(
    fleet: Fleet, refusing: Refusing
) -> None:
    # Given work that ends, and so wants to send on, while Valkey refuses
    effect, hold = fleet.role("fault.effect"), fleet.role("fault.hold")
    made = fleet.orchestration(
        step("first", hold, input_mapping={"release": "work"}),
        step("left", effect, parallel_group="g"),
        step("right", fleet.role("fault.aeffect"), parallel_group="g"),
        step("last", effect),
    )
    executions = [fleet.execute(made) for _ in range(4)]
    until(lambda: len(fleet.seen("begin", "first")) == 4, what="work")
    before = {name: fleet.children[name].pid for name in (CPU, CPU_2, IO, RECONCILER)}

    # When it does so for a while
    with refusing(fleet.env["REDIS_URL"]):
        fleet.release("work")
        executions += [fleet.execute(made) for _ in range(4)]
        watch(8.0)

    # Then every process lives on, and all executions are done
    until(lambda: completed(fleet) == len(executions), seconds=90, what="all done")
    alive = {name: fleet.children[name].poll() for name in before}
    assert alive == dict.fromkeys(before)
    assert set(fleet.begun().values()) == {8}


def completed(fleet: Fleet) -> int:
    rows = fleet.query(
        "SELECT count(*) FROM executions_execution "
        "WHERE status = 'completed' AND created_at >= %s",
        fleet.since,
    )
    return int(rows[0][0])
