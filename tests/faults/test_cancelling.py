"""Cancelling at every moment: soon over, once and for all, and nothing starts after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import TERMINAL, logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.people import in_crowds
from tests.faults.processes import CPU, CPU_2, IO

pytestmark = pytest.mark.fault

SOON_S = 10
MINUTES_MS = 5 * 60 * 1000
LATER = {"max_retries": 1, "retry_delay_ms": MINUTES_MS}


def test_what_is_queued_is_cancelled_at_once_and_never_starts(fleet: Fleet) -> None:
    # Given executions in the queue, and nobody to take them
    made = [one_step(fleet, "fault.effect"), one_step(fleet, "fault.aeffect")]
    for name in (CPU, CPU_2, IO):
        fleet.kill(name)
    executions = [fleet.execute(each) for each in made for _ in range(5)]

    # When they are cancelled
    answers = [cancel(fleet, execution) for execution in executions]

    # Then they are over with that
    assert {answer["status"] for answer in answers} == {"cancelled"}

    # And when workers come, they take what was posted after and nothing else
    fleet.heal()
    later = [fleet.execute(each) for each in made]
    for execution in later:
        assert fleet.finished(execution)["status"] == "completed"
    assert fleet.begun() == {"only": 2}


@pytest.mark.slow
def test_what_runs_is_over_within_ten_seconds_whatever_the_work_thinks_of_it(
    fleet: Fleet,
) -> None:
    # Given work in both pools, in a group, and two steps that ignore interruptions
    executions = {
        "cpu": fleet.execute(then(fleet, "fault.hold")),
        "io": fleet.execute(then(fleet, "fault.ahold")),
        "deaf": fleet.execute(then(fleet, "fault.deaf", seconds=20)),
        "adeaf": fleet.execute(then(fleet, "fault.adeaf", seconds=20)),
        "group": fleet.execute(group(fleet)),
    }
    begun = {"work": 4, "short": 1, "long": 1, "along": 1}
    until(lambda: fleet.begun() == begun, what="work")

    # When all are cancelled
    for execution in executions.values():
        cancel(fleet, execution)

    # Then all are over soon, those whose work obeys at once
    ended = {name: fleet.finished(each) for name, each in executions.items()}
    assert longest_wait(fleet, *executions.values()) < SOON_S
    assert {each["status"] for each in ended.values()} == {"cancelled"}
    assert ended["cpu"]["finished_at"] < ended["deaf"]["finished_at"]
    states = {key: log["status"] for key, log in logs_by_key(ended["group"]).items()}
    assert states == {"short": "completed", "long": "cancelled", "along": "cancelled"}

    # And nothing followed
    settled = nothing_more_happens(fleet)
    assert settled == begun


def test_termination_is_at_once_even_for_work_that_ignores_it(fleet: Fleet) -> None:
    # Given steps at work that no interruption reaches
    stubborn = [then(fleet, name, seconds=4) for name in ("fault.deaf", "fault.adeaf")]
    executions = [fleet.execute(each) for each in stubborn]
    until(lambda: fleet.begun() == {"work": 2}, what="work")

    # When their executions are terminated
    for execution in executions:
        path = f"executions/{execution}/terminate/"
        answer = fleet.post(path, {"reason": "enough"}, status=200)

        # Then they are over in the answer already
        assert answer["status"] == "cancelled"
        assert logs_by_key(answer)["work"]["status"] == "cancelled"

    # And what the work came to changes nothing
    until(lambda: len(fleet.sink.at("/end")) == 2, what="the ends of the work")
    for execution in executions:
        assert logs_by_key(fleet.execution(execution))["work"]["output"] is None
    assert nothing_more_happens(fleet) == {"work": 2}


def test_what_waits_is_cancelled_at_once(fleet: Fleet) -> None:
    # Given a step that waits for its retry, and executions paused at every moment
    retrying = fleet.execute(then(fleet, "fault.succeed_later", **LATER))
    until(lambda: state_of(fleet, retrying, "work") == "retrying", what="a failure")
    between = paused_between(fleet)
    both = fleet.execute(then(fleet, "fault.succeed_later", **LATER))
    until(lambda: state_of(fleet, both, "work") == "retrying", what="a failure")
    fleet.post(f"executions/{both}/pause/", None, status=200)
    begun = fleet.begun()

    # When they are cancelled, they are over with that
    for execution in (retrying, between, both):
        assert cancel(fleet, execution)["status"] == "cancelled"
        answer = fleet.client.post(f"executions/{execution}/resume/")
        assert (answer.status_code, answer.json()["code"]) == (409, "already_finished")
    assert nothing_more_happens(fleet) == begun


@pytest.mark.slow
def test_without_the_broker_and_without_the_worker_a_cancellation_is_as_soon(
    fleet: Fleet,
) -> None:
    # Given work in both pools, an execution in the queue, and a broker that is away
    executions = [
        fleet.execute(then(fleet, name)) for name in ("fault.hold", "fault.ahold")
    ]
    until(lambda: fleet.begun() == {"work": 2}, what="work")
    fleet.valkey.kill()
    executions.append(fleet.execute(then(fleet, "fault.effect")))

    # And the worker of one of them killed
    log = logs_by_key(fleet.execution(executions[0]))["work"]
    name, _ = fleet.holder(log["id"])
    fleet.kill(name)

    # When all are cancelled
    for execution in executions:
        cancel(fleet, execution)

    # Then they are over as soon as ever
    for execution in executions:
        assert fleet.finished(execution)["status"] == "cancelled"
    assert longest_wait(fleet, *executions) < SOON_S

    # And when all are back, nothing of them starts
    fleet.heal()
    assert nothing_more_happens(fleet) == {"work": 2}


def test_in_the_instant_of_success_there_is_one_outcome(fleet: Fleet) -> None:
    # Given forty executions whose last or last but one step is about to end
    last = one_step(fleet, "fault.ahold", release="now")
    last_but_one = then(fleet, "fault.ahold", release="now")
    executions = [
        fleet.execute(each) for each in (last, last_but_one) for _ in range(20)
    ]
    until(lambda: fleet.begun() == {"only": 20, "work": 20}, what="work")

    # When it ends while many people cancel them
    mixed = executions[::2] + executions[1::2]

    def cancel_in_time(execution: str) -> int:
        if execution == mixed[12]:
            fleet.release("now")
        if execution == mixed[-1]:
            fleet.finished(execution)  # the one that is surely too late
        return fleet.client.post(f"executions/{execution}/cancel/").status_code

    answers = dict(zip(mixed, in_crowds(cancel_in_time, mixed, people=4), strict=True))

    # Then each has come to one end, and who was too late was told so
    ended = [fleet.finished(execution) for execution in executions]
    assert longest_wait(fleet, *executions) < SOON_S
    ends = {each["id"]: each["status"] for each in ended}
    assert ends == {
        execution: {200: "cancelled", 409: "completed"}[code]
        for execution, code in answers.items()
    }
    assert set(ends.values()) == {"cancelled", "completed"}
    assert [each for each in ended if outcomes(fleet, each["id"]) != 1] == []
    assert [fleet.execution(each["id"]) for each in ended] == ended


def one_step(fleet: Fleet, function: str, **given: Any) -> dict[str, Any]:
    role = fleet.role(function)
    return fleet.orchestration(step("only", role, input_mapping=given))


def then(fleet: Fleet, function: str, **given: Any) -> dict[str, Any]:
    """Make an orchestration of some work, and an effect after it."""
    policy = {name: given.pop(name) for name in LATER if name in given}
    return fleet.orchestration(
        step("work", fleet.role(function), input_mapping=given, **policy),
        step("after", fleet.role("fault.effect")),
    )


def group(fleet: Fleet) -> dict[str, Any]:
    """Make a group of which one member ends at once, and an effect after it."""
    members = {"short": "fault.effect", "long": "fault.hold", "along": "fault.ahold"}
    steps = [
        step(name, fleet.role(function), parallel_group="g", input_mapping={})
        for name, function in members.items()
    ]
    return fleet.orchestration(*steps, step("after", fleet.role("fault.effect")))


def cancel(fleet: Fleet, execution: str) -> Any:
    body = {"reason": "changed my mind"}
    return fleet.post(f"executions/{execution}/cancel/", body, status=200)


def paused_between(fleet: Fleet) -> str:
    """Make an execution that was paused between two steps."""
    execution = fleet.execute(then(fleet, "fault.ahold", release="pause"))
    until(lambda: state_of(fleet, execution, "work") == "running", what="work")
    fleet.post(f"executions/{execution}/pause/", None, status=200)
    fleet.release("pause")
    until(lambda: state_of(fleet, execution, "work") == "completed", what="its end")
    return execution


def state_of(fleet: Fleet, execution: str, key: str) -> str | None:
    log = logs_by_key(fleet.execution(execution)).get(key)
    return str(log["status"]) if log else None


def longest_wait(fleet: Fleet, *executions: str) -> float:
    """Return the seconds from a cancellation to the end, by PostgreSQL's clock."""
    sql = (
        "SELECT max(extract(epoch FROM"
        "  finished_at - (cancel_request->>'at')::timestamptz))::float8 "
        "FROM executions_execution WHERE id::text = ANY(%s)"
    )
    ((seconds,),) = fleet.query(sql, list(executions))
    return float(seconds)


def outcomes(fleet: Fleet, execution: str) -> int:
    ends = [f"execution.{status}" for status in TERMINAL]
    sql = "SELECT type FROM executions_event WHERE execution_id = %s AND type = ANY(%s)"
    return len(fleet.query(sql, execution, ends))


def nothing_more_happens(fleet: Fleet) -> dict[str, int]:
    """Let what was posted later come to its end; return what has begun otherwise."""
    for function in ("fault.effect", "fault.aeffect"):
        made = fleet.orchestration(step("later", fleet.role(function)))
        assert fleet.finished(fleet.execute(made))["status"] == "completed"
    begun = fleet.begun()
    assert begun.pop("later") == 2
    return begun
