"""Crowds in which something goes wrong: with a step, its time, or its execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import redis
from django.db import transaction
from django.db.models.functions import Now

from executions import control, resumption
from executions.models import Execution
from executions.worker.crowd import Crowd
from executions.worker.departure import set_out
from executions.worker.leases import Worker
from executions.worker.relief import PATIENCE_S
from executions.worker.room import Places, room
from roles.functions import FunctionFailed
from roles.models import Role
from tests.integration.asking import outputs, statuses
from tests.integration.convoys import (
    check,
    check_all_completed,
    ends,
    events_of,
    launched_many,
    sent,
)
from tests.integration.crowds import Gate, Waits, await_waiting, beside, block, fail, go
from tests.integration.engine import (
    deliver_all,
    messages,
    now_of,
    run_at,
    until,
    waiting_for_locks,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.crowding")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "roomy"),
]

OTHERS_DONE = ["completed", "failed", "completed", "completed"]


def fail_after(gate: Gate) -> Callable[[], Any]:
    async def act() -> None:
        await gate()
        raise LookupError("not here")

    return act


def error_type(execution: Execution, path: str) -> str:
    error = run_at(execution, path).error
    assert error is not None
    return str(error["type"])


# --- steps that fail ------------------------------------------------------------------


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_failure_that_is_fatal_ends_its_own_execution_only(
    broker: redis.Redis, script: Waits, key: str, long: bool
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate()
    script.acts[f"{key}1"] = fail_after(gate) if long else fail

    with beside(script, lambda: go(executions)):
        if long:
            await_waiting(gate)
            until(lambda: events_of(executions[1], key), "the news of it")

    assert ends(executions) == OTHERS_DONE
    assert error_type(executions[1], key) == "exception"
    assert events_of(executions[1], key) == ["step.started", "step.failed"]
    assert messages(broker) == []
    check(executions)


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_failure_that_its_execution_survives_lets_it_go_on(
    broker: redis.Redis, script: Waits, key: str
) -> None:
    executions = launched_many(*script.steps(**{key: {"on_error": "continue"}}))
    broker.delete("io")
    script.acts[f"{key}1"] = fail

    go(executions)

    assert statuses(executions[1])[key] == "failed"
    assert messages(broker) == []
    check_all_completed(executions, script, broker)


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_step_that_is_tried_again_soon_gets_a_message(
    broker: redis.Redis, script: Waits, key: str
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 0}
    executions = launched_many(*script.steps(**{key: again}))
    broker.delete("io")
    script.acts[f"{key}1"] = fail

    go(executions)

    assert sent(broker) == [(1, key)]
    assert statuses(executions[1])[key] == "retrying"
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    assert script.calls.count(f"{key}1") == 2
    assert run_at(executions[1], key).attempt == 2
    check(executions)


def test_a_step_that_is_tried_again_later_waits_for_its_timer(
    broker: redis.Redis, script: Waits
) -> None:
    later = {"max_retries": 1, "retry_delay_ms": 120_000}
    executions = launched_many(*script.steps(b=later))
    broker.delete("io")
    script.acts["b1"] = fail

    go(executions)

    assert messages(broker) == []
    assert statuses(executions[1])["b"] == "retrying"
    assert now_of(executions[1]).wake_at is not None
    assert [ends(executions)[n] for n in (0, 2, 3)] == ["completed"] * 3
    check(executions)


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError]
)
def test_a_step_that_tries_to_end_its_process_ends_itself(
    broker: redis.Redis, script: Waits, error: type[BaseException]
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")

    async def leave() -> None:
        raise error

    script.acts["b1"] = leave

    go(executions)

    assert ends(executions) == OTHERS_DONE
    check(executions)


def test_what_a_step_asks_for_with_its_failure_counts(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps(b={"max_retries": 3}))
    broker.delete("io")

    async def refuse() -> None:
        raise FunctionFailed("never", type="never", retryable=False)

    script.acts["b1"] = refuse

    go(executions)

    assert ends(executions) == OTHERS_DONE
    assert error_type(executions[1], "b") == "never"


# --- inputs and outputs ---------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "b", "c"])
@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_an_input_that_does_not_resolve_concerns_nobody_else(
    broker: redis.Redis, script: Waits, key: str, on_error: str
) -> None:
    more = {n: {"more": n} for n in (0, 2, 3)}
    given = {"input_mapping": "{{ context.input.more }}", "on_error": on_error}
    executions = launched_many(*script.steps(**{key: given}), more=more)
    broker.delete("io")

    go(executions)
    deliver_all(broker)

    last = "failed" if on_error == "fail" else "completed"
    assert ends(executions) == ["completed", last, "completed", "completed"]
    assert error_type(executions[1], key) == "template_error"
    check(executions)


def test_an_output_that_does_not_resolve_fails_its_execution(
    broker: redis.Redis, script: Waits
) -> None:
    more = {n: {"more": n} for n in (0, 2, 3)}
    output = "{{ context.input.more }}"
    executions = launched_many(*script.steps(), more=more, output=output)
    broker.delete("io")

    go(executions)
    deliver_all(broker)

    assert ends(executions) == OTHERS_DONE
    assert statuses(executions[1])["c"] == "completed"
    check(executions)


@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_exports_that_do_not_resolve_fail_their_step(
    broker: redis.Redis, script: Waits, on_error: str
) -> None:
    more = {n: {"more": n} for n in (0, 2, 3)}
    exports = {"output_mapping": {"x": "{{ context.input.more }}"}}
    executions = launched_many(
        *script.steps(b={**exports, "on_error": on_error}), more=more
    )
    broker.delete("io")

    go(executions)

    last = "failed" if on_error == "fail" else "completed"
    assert ends(executions) == ["completed", last, "completed", "completed"]
    assert error_type(executions[1], "b") == "template_error"
    check(executions)


@pytest.mark.parametrize("key", ["a", "b", "c"])
@pytest.mark.parametrize("on_error", ["fail", "continue"])
def test_an_input_that_does_not_fit_the_role_fails_its_step(
    broker: redis.Redis, script: Waits, key: str, on_error: str
) -> None:
    schema = {"not": {"const": f"{key}1"}}
    Role.objects.filter(name=script.role).update(input_schema=schema)
    executions = launched_many(*script.steps(**{key: {"on_error": on_error}}))
    broker.delete("io")

    go(executions)

    last = "failed" if on_error == "fail" else "completed"
    assert ends(executions) == ["completed", last, "completed", "completed"]
    assert error_type(executions[1], key) == "input_schema_mismatch"
    assert f"{key}1" not in script.calls
    check(executions)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (7, "output_schema_mismatch"),
        ({1, 2}, "not_json"),
        (float("nan"), "not_json"),
        ("\0", "not_json"),
    ],
    ids=["schema", "set", "nan", "nul"],
)
def test_an_output_that_cannot_be_taken_fails_its_step(
    broker: redis.Redis, script: Waits, output: Any, error: str
) -> None:
    if error == "output_schema_mismatch":
        schema = {"type": "string"}
        Role.objects.filter(name=script.role).update(output_schema=schema)
    executions = launched_many(*script.steps())
    broker.delete("io")

    async def answer() -> Any:
        return output

    script.acts["b1"] = answer

    go(executions)

    assert ends(executions) == OTHERS_DONE
    assert error_type(executions[1], "b") == error
    check(executions)


# --- time -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_time_out_concerns_nobody_else(
    broker: redis.Redis, script: Waits, key: str
) -> None:
    executions = launched_many(*script.steps(**{key: {"timeout_ms": 1000}}))
    broker.delete("io")
    gate = script.gate(f"{key}1")

    go(executions)
    deliver_all(broker)

    assert gate.waiting == 0
    assert ends(executions) == OTHERS_DONE
    assert statuses(executions[1])[key] == "timed_out"
    assert events_of(executions[1], key) == ["step.started", "step.timed_out"]
    check(executions)


def test_a_time_out_that_is_tried_again_is(broker: redis.Redis, script: Waits) -> None:
    again = {"timeout_ms": 1000, "max_retries": 1, "retry_delay_ms": 0}
    executions = launched_many(*script.steps(a=again))
    broker.delete("io")
    script.gate("a1")

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    assert script.calls.count("a1") == 2
    check(executions)


def test_the_late_end_of_an_attempt_is_not_taken_for_the_next_steps(
    broker: redis.Redis, script: Waits
) -> None:
    brief = {"timeout_ms": 2000, "on_error": "continue"}
    executions = launched_many(*script.steps(a=brief, b={"timeout_ms": 2000}))
    broker.delete("io")
    deaf, following = script.gate("a1", deaf=True), script.gate("b1")

    with beside(script, lambda: go(executions)):
        await_waiting(following)
        assert deaf.waiting == 1
        deaf.open()
        until(lambda: deaf.waiting == 0, "the late end")
        assert statuses(executions[1]) == {"a": "timed_out", "b": "running"}

    check_all_completed(executions, script, broker)
    assert outputs(executions[1]) == {"a": None, "b": "long", "c": "c1"}


def test_a_step_that_blocks_the_event_loop_costs_the_others_an_attempt_at_most(
    broker: redis.Redis, script: Waits
) -> None:
    again = {"timeout_ms": 1000, "max_retries": 1, "retry_delay_ms": 0}
    executions = launched_many(*script.steps(b=again))
    broker.delete("io")

    async def stay() -> None:
        block(3.0)

    script.acts["b1"] = stay

    go(executions)
    deliver_all(broker)

    assert ends(executions) == ["completed"] * 4
    assert events_of(executions[1], "b")[:2] == ["step.started", "step.retrying"]
    check(executions)


def test_a_step_whose_time_is_over_before_it_begins_is_not_begun(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    past = Now() - timedelta(seconds=1)
    Execution.objects.filter(pk=executions[1].pk).update(deadline_at=past)

    go(executions)

    assert not any(given.endswith("1") for given in script.calls)
    assert [ends(executions)[n] for n in (0, 2, 3)] == ["completed"] * 3
    check(executions)


def test_an_end_that_is_heard_late_is_not_taken_for_overdue(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    executions = launched_many(*script.steps(), size=2)
    broker.delete("io")
    first, second = script.gate("a0"), script.gate("a1")

    with beside(script, lambda: go(executions)):
        await_waiting(first)
        await_waiting(second)
        with transaction.atomic():
            Execution.objects.select_for_update().get(pk=executions[0].pk)
            first.open()
            waiting_for_locks(1)
            assert roomy.busy == 1
            second.open()
            until(lambda: roomy.busy == 0, "the end that nobody hears yet")

    check_all_completed(executions, script, broker)


def test_who_ends_does_not_keep_the_crowd_from_looking_after_the_others(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    # Given one step that is over, one that takes its time, and one that has had it
    executions = launched_many(*script.steps(), size=3)
    broker.delete("io")
    gate = script.gate("a1", "a2")
    addresses = [resumption.address_of(each.pk) for each in executions]
    places = Places(room, 3, lambda _count: None)
    crowd = Crowd(travellers=set_out(addresses, "a", pool="io"), places=places)
    over, long, late = crowd.travellers
    crowd._begin(crowd.travellers)
    await_waiting(gate, 2)
    until(lambda: roomy.busy == 2, "an end")
    until(lambda: monotonic() - long.began > 2 * PATIENCE_S, "a while")
    crowd._under_way[late.claim.run.id].deadline = monotonic()

    # When the crowd looks, then it sees all of it at once
    assert crowd._wait() == [over, late]
    assert [each.told for each in (over, long, late)] == [False, True, False]
    assert events_of(executions[1], "a") == ["step.started"]
    crowd._disperse()


# --- verbs, while they wait -----------------------------------------------------------


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
@pytest.mark.parametrize("verb", [control.cancel, control.terminate])
def test_who_is_cancelled_while_he_waits_stops(
    broker: redis.Redis, script: Waits, roomy: Worker, verb: Any, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(at)

    with beside(script, lambda: go(executions)):
        await_waiting(gate)
        verb(executions[1].pk, by=None)
        roomy._beat()
        await_waiting(gate, 0)
        until(lambda: ends(executions)[1] == "cancelled", "its end")

    assert ends(executions) == ["completed", "cancelled", "completed", "completed"]
    assert statuses(executions[1])[at[0]] == "cancelled"
    assert messages(broker) == []
    check(executions)


@pytest.mark.parametrize("at", ["a1", "b1", "c1"])
def test_who_is_paused_while_he_waits_goes_on_when_he_is_resumed(
    broker: redis.Redis, script: Waits, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(at)

    with beside(script, lambda: go(executions)):
        await_waiting(gate)
        assert control.pause(executions[1].pk, by=None)

    assert ends(executions) == ["completed", "paused", "completed", "completed"]
    assert statuses(executions[1])[at[0]] == "completed"
    assert control.resume(executions[1].pk, by=None)
    check_all_completed(executions, script, broker)


def test_all_of_them_may_be_cancelled(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(*(f"b{n}" for n in range(4)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 4)
        for execution in executions:
            control.cancel(execution.pk, by=None)
        roomy._beat()
        await_waiting(gate, 0)

    assert ends(executions) == ["cancelled"] * 4
    check(executions)
