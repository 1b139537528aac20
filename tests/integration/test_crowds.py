"""Crowds: steps that wait side by side, each of which goes on when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.db.models import Min

from executions import control
from executions.announce import MOVES
from executions.models import Event, Execution
from executions.signatures import RUN_TOGETHER
from executions.worker import departure
from executions.worker.leases import Worker
from tests.integration.asking import outputs, statuses
from tests.integration.convoys import (
    NOT_1,
    check,
    check_all_completed,
    ends,
    events_of,
    launched_many,
    sent,
)
from tests.integration.crowds import Waits, await_waiting, beside, go
from tests.integration.engine import (
    at_once,
    claimed,
    deliver,
    deliver_all,
    finish,
    messages,
    now_of,
    role,
    take,
    told,
    until,
    worker,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.crowding")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "roomy"),
]

NONE = {"field": "context.input.n", "operator": "==", "value": "none"}
WHOLE_STORY = [
    "execution.created",
    "execution.started",
    *(f"step.{event} {path}" for path in "abc" for event in ("started", "completed")),
    "execution.completed",
]


# --- from the first step to the last --------------------------------------------------


def test_executions_launched_together_do_each_step_once(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps(), size=8)
    assert {message.task for message in messages(broker)} == {RUN_TOGETHER}

    assert deliver_all(broker) == [("io", "a")] * 4

    check_all_completed(executions, script, broker)
    assert len(script.calls) == 24
    for execution in executions:
        assert told(execution) == WHOLE_STORY


def test_all_of_them_wait_at_once(broker: redis.Redis, script: Waits) -> None:
    executions = launched_many(*script.steps(), size=8)
    broker.delete("io")
    gate = script.gate(*(f"a{n}" for n in range(8)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 8)

    check_all_completed(executions, script, broker)


def test_results_are_those_of_the_steps(broker: redis.Redis, script: Waits) -> None:
    executions = launched_many(*script.steps(), output="{{ output }}")
    broker.delete("io")

    go(executions)

    for n, execution in enumerate(executions):
        assert outputs(execution) == {key: f"{key}{n}" for key in "abc"}
        assert now_of(execution).output == f"c{n}"


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_who_takes_his_time_holds_nobody_up(
    broker: redis.Redis, script: Waits, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(at)

    with beside(script, lambda: go(executions)):
        await_waiting(gate)
        others = ["completed", "running", "completed", "completed"]
        until(lambda: ends(executions) == others, "the end of the others")
        assert statuses(executions[1])[at[0]] == "running"

    assert messages(broker) == []
    check_all_completed(executions, script, broker)
    assert told(executions[1]) == WHOLE_STORY
    assert outputs(executions[1])[at[0]] == "long"


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_a_long_step_is_told_of_while_it_runs(
    broker: redis.Redis, script: Waits, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(at)

    with beside(script, lambda: go(executions)):
        await_waiting(gate)
        begun = ["step.started"]
        until(lambda: events_of(executions[1], at[0]) == begun, "the news of it")

    run = executions[1].step_runs.get(path=at[0])
    event = Event.objects.get(
        execution=executions[1], type="step.started", path=run.path
    )
    assert event.created_at == run.started_at
    check_all_completed(executions, script, broker)


def test_a_long_step_is_told_of_although_others_end_all_the_time(
    broker: redis.Redis, script: Waits
) -> None:
    steps = [script.step(f"{key}{place}") for place in range(10) for key in "abc"]
    executions = launched_many(*steps, size=20)
    broker.delete("io")
    gate = script.gate("a00")

    with beside(script, lambda: go(executions, "a0")):
        others = ["running"] + ["completed"] * 19
        until(lambda: ends(executions) == others, "the end of the others")
        await_waiting(gate)

    news = Event.objects.filter(execution=executions[0], type="step.started")
    done = Event.objects.filter(type="execution.completed")
    first = news.aggregate(found=Min("id"))["found"]
    assert first < done.aggregate(found=Min("id"))["found"]
    check_all_completed(executions, script, broker)


def test_viewers_hear_of_each_end(broker: redis.Redis, script: Waits) -> None:
    executions = launched_many(*script.steps())
    gate = script.gate("c3")
    others = {str(execution.pk) for execution in executions[:3]}
    heard: set[str] = set()

    with broker.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(MOVES)

        def hear() -> bool:
            if message := channel.get_message():
                heard.update(message["data"].decode().split())
            return others <= heard

        with beside(script, lambda: go(executions)):
            await_waiting(gate)
            until(hear, "news of the others")


# --- where a crowd's way ends ---------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"role_name": "cpu"},
        {"at_most_once": True},
        {"timeout_ms": 999},
        {"timeout_ms": 900_000},
        {"parallel_group": "g"},
        {"condition": NOT_1},
        {"condition": NONE},
    ],
    ids=str,
)
@pytest.mark.parametrize("key", ["b", "c"])
def test_a_step_that_the_crowd_does_not_go_on_with_is_sent(
    broker: redis.Redis, script: Waits, key: str, fields: dict[str, Any]
) -> None:
    if "role_name" in fields:
        fields = {"role_name": role()}
    steps = [each | (fields if each["key"] == key else {}) for each in script.steps()]
    executions = launched_many(*steps)
    broker.delete("io")

    go(executions)

    if "condition" not in fields:
        for execution in executions:
            assert key not in statuses(execution)
    check_all_completed(executions, script, broker)
    skipped = {"none": 4, "1": 1}.get(fields.get("condition", {}).get("value"), 0)
    assert len(script.calls) == 12 - skipped - 4 * ("role_name" in fields)


def test_a_crowd_parts_when_it_has_been_together_for_long(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.worker.crowd.LONGEST_S", -1.0)
    executions = launched_many(*script.steps())
    broker.delete("io")

    go(executions)

    assert sent(broker) == [(n, "b") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_a_crowd_goes_on_for_longer_than_a_convoy(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departure, "LONGEST_S", -1.0)
    executions = launched_many(*script.steps())
    broker.delete("io")

    go(executions)

    assert messages(broker) == []
    check_all_completed(executions, script, broker)


def test_a_process_that_is_about_to_end_begins_no_further_steps(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(*(f"b{n}" for n in range(4)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 4)
        roomy.leave()

    assert sent(broker) == [(n, "c") for n in range(4)]
    check_all_completed(executions, script, broker)


# --- executions that do not set out ---------------------------------------------------


def terminated(execution: Execution) -> None:
    control.terminate(execution.pk, by=None)


def cancelled(execution: Execution) -> None:
    control.cancel(execution.pk, by=None)


def paused(execution: Execution) -> None:
    control.pause(execution.pk, by=None)


def deleted(execution: Execution) -> None:
    Execution.objects.filter(pk=execution.pk).delete()


@pytest.mark.parametrize("change", [terminated, cancelled, paused, deleted])
def test_who_was_taken_out_before_the_message_came_does_not_set_out(
    broker: redis.Redis, script: Waits, change: Callable[[Execution], None]
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    change(executions[1])

    go(executions)

    assert not any(given.endswith("1") for given in script.calls)
    others = [executions[n] for n in (0, 2, 3)]
    check_all_completed(others, script, broker)
    for left in Execution.objects.filter(pk=executions[1].pk):
        assert left.status == ("paused" if change is paused else "cancelled")


def test_a_message_of_an_epoch_that_is_past_begins_nothing(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")

    go(executions, epoch=0)

    assert script.calls == []
    assert messages(broker) == []


def test_who_has_begun_already_goes_on_by_himself(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    finish(executions[1], "a")
    claimed(executions[2], "a", by=worker())

    go(executions)

    assert sent(broker) == [(1, "a"), (2, "a")]
    assert ends(executions) == ["completed", "running", "running", "completed"]
    assert deliver(next(m for m in messages(broker) if m.place == "a")) == "SUCCESS"
    assert sorted(script.calls) == sorted(set(script.calls))
    assert "a1" not in script.calls
    assert "a2" not in script.calls
    check(executions)


@pytest.mark.parametrize("condition", [NOT_1, NONE])
def test_who_has_nothing_to_do_in_the_first_step_goes_on(
    broker: redis.Redis, script: Waits, condition: dict[str, Any]
) -> None:
    executions = launched_many(*script.steps(a={"condition": condition}))
    broker.delete("io")

    go(executions)

    check_all_completed(executions, script, broker)
    assert statuses(executions[1])["a"] == "skipped"


def test_a_message_that_comes_twice_has_each_step_done_once(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps(), size=8)

    deliver_all(broker, times=2)

    check_all_completed(executions, script, broker)
    assert len(script.calls) == 24


def test_a_message_that_comes_again_while_they_wait_begins_nothing_anew(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps(), size=8)
    gate = script.gate("a0", "b1")
    first = take(broker)
    assert first is not None

    with beside(script, lambda: deliver(first)):
        await_waiting(gate, 2)
        assert deliver(first) == "SUCCESS"
        assert deliver(next(m for m in messages(broker) if m.place == "a")) == "SUCCESS"

    assert sorted(script.calls) == sorted(set(script.calls))
    assert ends(executions[:2]) == ["completed"] * 2
    check(executions)


def test_a_message_that_two_get_at_once_has_each_step_done_once(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    executions = launched_many(*script.steps(), size=8)
    first = take(broker)
    assert first is not None
    second = replace(first, kwargs={**first.kwargs})
    second.kwargs["executions"] = first.kwargs["executions"][::-1]

    assert at_once(lambda: deliver(first), lambda: deliver(second)) == ["SUCCESS"] * 2

    assert ends(executions[:2]) == ["completed"] * 2
    deliver_all(broker)
    check_all_completed(executions, script, broker)
