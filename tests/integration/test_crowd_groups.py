"""Crowds of one group's members, and groups behind a crowd: each is joined once."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from executions.models import Execution
from executions.signatures import JOIN, RUN_STEPS
from executions.worker.leases import Worker
from tests.integration.asking import statuses
from tests.integration.convoys import check, ends, events_of, launched_many
from tests.integration.crowds import Waits, await_waiting, beside, go
from tests.integration.engine import (
    deliver,
    deliver_all,
    finish,
    group,
    launched,
    messages,
    now_of,
    role,
    step,
    take,
    told,
    until,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.crowding")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "roomy"),
]

NONE = {"field": "context.input.n", "operator": "==", "value": "none"}


def crowd_of(script: Waits, size: int, **special: dict[str, Any]) -> Execution:
    """Start an execution of a group whose members are called with their keys."""
    keys = [f"m{n}" for n in range(size)]
    members = [
        step(key, script.role, parallel_group="g", input_mapping=key)
        | special.get(key, {})
        for key in keys
    ]
    return launched(*members, step("after", role()))


def test_members_of_a_large_group_wait_side_by_side(
    broker: redis.Redis, script: Waits
) -> None:
    execution = crowd_of(script, 100)
    assert {(m.queue, m.task) for m in messages(broker)} == {("io", RUN_STEPS)}
    first = take(broker)
    assert first is not None
    shared = first.kwargs["paths"]
    gate = script.gate(*shared)

    with beside(script, lambda: deliver(first)):
        await_waiting(gate, len(shared))

    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert len(script.calls) == len(set(script.calls)) == 100
    assert set(execution.step_runs.values_list("status", "attempt")) == {
        ("completed", 1)
    }
    events = told(execution)
    assert len(events) == len(set(events))
    assert max(map(events.index, (e for e in events if " m" in e))) < events.index(
        "step.started after"
    )


def test_a_member_that_takes_its_time_keeps_only_the_join(
    broker: redis.Redis, script: Waits
) -> None:
    execution = crowd_of(script, 16)
    gate = script.gate("m1")

    with beside(script, lambda: deliver_all(broker)):
        await_waiting(gate)
        done = {f"m{n}": "completed" for n in range(16)} | {"m1": "running"}
        # One after the other: the first message has not ended, so that is all of it.
        until(lambda: statuses(execution)["m0"] == "completed", "its neighbour's end")
        until(lambda: events_of(execution, "m1") == ["step.started"], "the news")
        assert statuses(execution).items() <= done.items()

    assert now_of(execution).status == "completed"
    assert not [m for m in messages(broker) if m.task == JOIN]


@pytest.mark.parametrize("fields", [{"on_error": "continue"}, {"max_retries": 1}])
def test_a_member_that_fails_once_keeps_nobody_from_the_join(
    broker: redis.Redis, script: Waits, fields: dict[str, Any]
) -> None:
    execution = crowd_of(script, 16, m3={"retry_delay_ms": 0, **fields})

    async def fail() -> None:
        raise LookupError

    script.acts["m3"] = fail

    deliver_all(broker)

    assert now_of(execution).status == "completed"
    failed = "failed" if "on_error" in fields else "completed"
    assert statuses(execution)["m3"] == failed
    assert script.calls.count("m3") == (1 if "on_error" in fields else 2)
    assert told(execution).count("step.started after") == 1


def test_a_member_that_ends_it_all_ends_it_once(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    execution = crowd_of(script, 16)
    gate = script.gate("m1", "m2")

    async def fail() -> None:
        raise LookupError

    script.acts["m3"] = fail
    first = take(broker)
    assert first is not None

    with beside(script, lambda: deliver(first)):
        await_waiting(gate, 2)
        roomy._beat()

    deliver_all(broker)
    check([execution])


def test_members_that_are_done_or_under_way_are_left_alone(
    broker: redis.Redis, script: Waits
) -> None:
    execution = crowd_of(script, 16, m5={"condition": NONE})
    finish(execution, "m0", "m6")
    gate = script.gate("m1", "m2")
    first = take(broker)
    assert first is not None

    with beside(script, lambda: deliver(first)):
        await_waiting(gate, 2)
        assert deliver(first) == "SUCCESS"

    deliver_all(broker)
    assert now_of(execution).status == "completed"
    assert script.calls.count("m1") == script.calls.count("m2") == 1
    assert not {"m0", "m6", "m5"} & set(script.calls)
    assert told(execution).count("execution.completed") == 1


def test_a_group_behind_a_crowd_begins_once_for_each(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(
        script.step("a"), *group("x", "y", of=script.role), step("z", role())
    )
    broker.delete("io")

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    for execution in executions:
        events = told(execution)
        assert len(events) == len(set(events))
