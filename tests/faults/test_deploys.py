"""Deploys in the middle of work: workers leave, old meets new, definitions change."""

from __future__ import annotations

import signal

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults import queues
from tests.faults.fleet import Fleet, watch
from tests.faults.processes import CPU, CPU_2, IO, IO_2

pytestmark = pytest.mark.fault

POOLS = [("fault.hold", CPU, CPU_2), ("fault.ahold", IO, IO_2)]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "leaving", "coming"), POOLS)
def test_a_worker_that_is_asked_to_leave_finishes_its_step_first(
    fleet: Fleet, function: str, leaving: str, coming: str
) -> None:
    # Given a worker in the middle of a step
    if coming in fleet.children:
        fleet.kill(coming)
    execution = fleet.execute(
        fleet.orchestration(
            step("hold", fleet.role(function), input_mapping={"release": "work"}),
            step("after", fleet.role("fault.effect")),
        )
    )
    until(lambda: fleet.seen("begin", "hold"), what="work")

    # When it is asked to leave, another comes, and the step goes on beyond the lease
    fleet.children[leaving].signal(signal.SIGTERM)
    fleet.restart(coming)
    watch(10)
    assert fleet.begun() == {"hold": 1}
    fleet.release("work")

    # Then the step ends where it began, and the worker ends well
    assert fleet.finished(execution)["status"] == "completed"
    assert fleet.begun() == {"hold": 1, "after": 1}
    assert fleet.children[leaving].wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("function", "leaving", "coming"), POOLS)
def test_the_step_of_a_worker_that_had_no_time_to_finish_is_done_by_another(
    fleet: Fleet, function: str, leaving: str, coming: str
) -> None:
    # Given a worker in the middle of a step that takes long
    if coming in fleet.children:
        fleet.kill(coming)
    execution = fleet.execute(
        fleet.orchestration(
            step("hold", fleet.role(function), input_mapping={"only_first": True}),
            step("after", fleet.role("fault.effect")),
        )
    )
    until(lambda: fleet.seen("begin", "hold"), what="work")

    # When it is asked to leave, and killed as it is still there after a while
    fleet.restart(coming)
    fleet.terminate(leaving, seconds=5)

    # Then the step was done elsewhere, and nothing was lost
    ended = fleet.finished(execution, seconds=40)
    assert ended["status"] == "completed"
    assert logs_by_key(ended)["hold"]["attempt"] == 2
    assert fleet.begun() == {"hold": 2, "after": 1}


def test_an_unknown_task_from_a_newer_release_does_not_stop_a_worker(
    fleet: Fleet,
) -> None:
    # Given a queue in which a message of another release stands first
    for name in (CPU, CPU_2):
        fleet.kill(name)
    made = fleet.orchestration(step("only", fleet.role("fault.effect")))
    execution = fleet.execute(made)
    queues.send_unknown_task(fleet.env["REDIS_URL"], "cpu")

    # When a worker gets it
    said = len(fleet.log(CPU))
    worker = fleet.restart(CPU)
    until(lambda: "executions.of_tomorrow" in fleet.log(CPU)[said:], what="a word")

    # Then it goes on with what it knows
    assert fleet.finished(execution)["status"] == "completed"
    assert fleet.finished(fleet.execute(made))["status"] == "completed"
    assert worker.poll() is None


@pytest.mark.slow
def test_a_definition_edited_during_a_deploy_changes_no_running_execution(
    fleet: Fleet,
) -> None:
    # Given an execution in the middle of its first step
    effect, hold = fleet.role("fault.effect"), fleet.role("fault.hold")
    first = step("hold", hold, input_mapping={"release": "work"})
    made = fleet.orchestration(first, step("old", effect))
    execution = fleet.execute(made)
    until(lambda: fleet.seen("begin", "hold"), what="work")

    # When its definition is edited while all cpu workers are replaced
    path = f"orchestrations/{made['id']}/"
    headers = {"If-Match": fleet.client.get(path).headers.get("ETag", "*")}
    edited = {"name": made["name"], "steps": [first, step("new", effect)]}
    answer = fleet.client.put(path, json=edited, headers=headers)
    assert answer.status_code == 200, answer.text
    for name in (CPU, CPU_2):
        fleet.children[name].signal(signal.SIGTERM)
    fleet.release("work")
    for name in (CPU, CPU_2):
        assert fleet.children[name].wait(20) == 0
        fleet.restart(name)

    # Then it goes on as it began, and the next one as it is written now
    keys = [log["step_key"] for log in fleet.finished(execution)["step_logs"]]
    assert keys == ["hold", "old"]
    later = fleet.finished(fleet.execute(made))
    assert [log["step_key"] for log in later["step_logs"]] == ["hold", "new"]
