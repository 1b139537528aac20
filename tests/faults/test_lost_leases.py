"""Workers that live on but cannot keep their lease: frozen, or cut off."""

from __future__ import annotations

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet, watch
from tests.faults.processes import CPU, CPU_2, IO, IO_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]


@pytest.mark.parametrize(
    ("function", "others"), [("fault.hold", (CPU, CPU_2)), ("fault.ahold", (IO, IO_2))]
)
def test_a_frozen_workers_late_result_changes_nothing_and_is_logged(
    fleet: Fleet, function: str, others: tuple[str, str]
) -> None:
    # Given a step that is at work on one of two workers
    if IO_2 in others:
        fleet.restart(IO_2)
    hold = fleet.role(function)
    execution = fleet.execute(
        fleet.orchestration(
            step("hold", hold, input_mapping={"release": "end", "only_first": True}),
            step("after", fleet.role("fault.effect")),
        )
    )
    log = fleet.started(execution, "hold")
    until(lambda: fleet.seen("begin", "hold"), what="work")
    name, pid = fleet.holder(log["id"])

    # When that worker is frozen until the step was done elsewhere, and thawed
    fleet.freeze(name)
    ended = fleet.finished(execution, seconds=40)
    fleet.release("end")
    said = len(fleet.log(name))
    fleet.thaw(name)

    # Then it says so, and changes nothing
    until(lambda: "hold" in fleet.log(name)[said:], what="a word about the step")
    assert ended == fleet.execution(execution)
    assert logs_by_key(ended)["hold"]["output"] == 2
    assert fleet.begun() == {"hold": 2, "after": 1}
    assert pid != fleet.seen("begin", "hold")[1].body["pid"]


@pytest.mark.parametrize("cut_off_from", ["PostgreSQL", "everything"])
@pytest.mark.parametrize(
    ("function", "worker", "other"),
    [("fault.hold", CPU, CPU_2), ("fault.ahold", IO, IO_2)],
)
def test_a_worker_that_is_cut_off_stops_its_step_before_another_starts_it(
    fleet: Fleet, function: str, worker: str, other: str, cut_off_from: str
) -> None:
    # Given a worker behind a network, and a step on it whose effects are seen
    if other in fleet.children:
        fleet.kill(other)
    database, broker = fleet.postgres_proxy(), fleet.valkey_proxy()
    fleet.restart(worker, DATABASE_URL=database.url, REDIS_URL=broker.url)
    ticking = {"ticks": True, "only_first": True}
    execution = fleet.execute(
        fleet.orchestration(
            step("hold", fleet.role(function), input_mapping=ticking),
            step("after", fleet.role("fault.effect")),
        )
    )
    until(lambda: fleet.seen("tick", "hold"), what="effects")
    fleet.restart(other)
    until(lambda: renews_its_lease(fleet, execution), what="a heartbeat at work")

    # When no byte passes any more between it and PostgreSQL, or Valkey as well
    database.cut()
    if cut_off_from == "everything":
        broker.cut()
    # (one that reaches Valkey alone gives back every message that it still gets)
    ended = fleet.finished(execution, seconds=40)
    watch(1.0)

    # Then its last effect is older than the first of who took over
    ours = [each for each in fleet.sink.effects if each.body["step"] == "hold"]
    second = fleet.seen("begin", "hold")[1]
    assert max(each.at for each in ours if each.body["attempt"] == 1) < second.at
    assert ended["status"] == "completed"
    assert fleet.begun() == {"hold": 2, "after": 1}


def renews_its_lease(fleet: Fleet, execution: str) -> bool:
    """Tell whether the step's worker has renewed its lease since it had it."""
    return fleet.query(
        "SELECT w.last_heartbeat_at > w.started_at + interval '3 seconds' "
        "FROM executions_worker w JOIN executions_steprun s ON s.worker = w.id "
        "WHERE s.execution_id = %s AND s.path = 'hold'",
        execution,
    ) == [(True,)]
