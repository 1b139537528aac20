"""Crowds whose PostgreSQL goes away, is silent or refuses one; and other faults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from executions import database, recovery
from executions.lifecycle import batches, settlements
from executions.worker import attempts, eventloop
from executions.worker.leases import Worker
from tests.integration.convoys import (
    check,
    check_all_completed,
    end_of,
    ends,
    events_of,
    launched_many,
    outages,
    refusing,
    sent,
)
from tests.integration.crowds import Waits, await_waiting, beside, fail, go, outage
from tests.integration.engine import (
    age,
    deliver,
    deliver_all,
    end_lease,
    lose_reply,
    messages,
    now_of,
    postgres_away,
    run_at,
    take,
    told,
    until,
)

pytest_plugins = ("tests.integration.stage", "tests.integration.crowding")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "roomy"),
]


# --- PostgreSQL goes away -------------------------------------------------------------


@pytest.mark.parametrize("at", ["a1", "b1", "c1", "c3"])
def test_what_was_done_while_postgres_was_away_is_recorded(
    broker: redis.Redis, script: Waits, at: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")

    with outage() as away:

        async def cut() -> str:
            away.begin()
            return "cut"

        script.acts[at] = cut
        go(executions)

    check_all_completed(executions, script, broker)


def test_an_outage_while_all_of_them_wait_costs_nobody_his_attempt(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(*(f"b{n}" for n in range(4)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 4)
        until(lambda: events_of(executions[3], "b"), "the news of them")
        with outage() as away:
            away.begin()
            gate.open()

    check_all_completed(executions, script, broker)


def test_a_beginning_that_is_told_after_an_outage_is_told_of_its_time(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")

    gate = script.gate("a1", "a2", "a3")

    with outage(60) as away:

        async def cut() -> str:
            away.begin()
            return str(await gate())

        script.acts["a0"] = cut
        with beside(script, lambda: go(executions)):
            # Nobody has ended yet: what the crowd cannot record is that they began.
            until(lambda: away.is_felt, "an outage")
            gate.open()

    check_all_completed(executions, script, broker)
    for execution in executions:
        run = run_at(execution, "a")
        assert run.started_at
        assert run.finished_at
        assert (run.finished_at - run.started_at).total_seconds() > 0.5  # its length


def test_a_message_that_finds_no_postgres_comes_again(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps(), size=8)
    first = take(broker)
    assert first is not None

    with postgres_away(monkeypatch):
        assert deliver(first) == "RETRY"

    check_all_completed(executions, script, broker)


def test_an_outage_before_the_first_claim_is_waited_for(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")

    with outages() as begin:

        def away_then(sql: Any, params: Any) -> Any:
            monkeypatch.setattr(batches, "fetch", database.fetch)
            begin()
            return database.fetch(sql, params)

        monkeypatch.setattr(batches, "fetch", away_then)
        go(executions)

    check_all_completed(executions, script, broker)


# --- replies that are lost ------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (batches, "INSERT INTO executions_steprun"),
        (settlements, "INSERT INTO executions_steprun"),
        (settlements, "SET status = 'completed', output"),
        (settlements, "SELECT id FROM done"),
    ],
    ids=["claims", "next claims", "ends", "settled"],
)
def test_a_reply_that_is_lost_loses_nothing(
    broker: redis.Redis,
    script: Waits,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    words: str,
) -> None:
    once = {"at_most_once": True}  # before it, an end is recorded by itself
    special = {"b": once} if "FROM done" in words else {}
    executions = launched_many(*script.steps(**special))
    broker.delete("io")
    lost = lose_reply(monkeypatch, module, words)

    go(executions)

    assert lost
    check_all_completed(executions, script, broker)


def test_news_whose_reply_is_lost_is_told_all_the_same(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate("b1")
    lost = lose_reply(monkeypatch, batches, "SELECT id FROM begun")

    with beside(script, lambda: go(executions)):
        until(lambda: lost, "a lost reply")
        await_waiting(gate)

    assert ends(executions) == ["completed"] * 4
    assert len(script.calls) == len(set(script.calls)) == 12
    # A statement that is repeated tells of a beginning once more.
    assert set(events_of(executions[1], "b")) == {"step.started", "step.completed"}


# --- one is refused -------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "b", "c"])
@pytest.mark.parametrize("long", [False, True])
def test_an_end_that_is_refused_ends_its_own_execution_only(
    broker: redis.Redis, script: Waits, key: str, long: bool
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate()
    if long:
        script.acts[f"{key}1"] = gate

    with (
        refusing(end_of(executions[1], key)),
        beside(script, lambda: go(executions)),
    ):
        if long:
            await_waiting(gate)
            until(lambda: events_of(executions[1], key), "the news of it")

    deliver_all(broker)
    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    error = run_at(executions[1], key).error
    assert error is not None
    assert error["type"] == "internal_error"
    check(executions)


@pytest.mark.parametrize("key", ["b", "c"])
def test_a_next_claim_that_is_refused_ends_its_own_execution_only(
    broker: redis.Redis, script: Waits, key: str
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    one = f"NEW.execution_id = '{executions[1].pk}' AND NEW.path = '{key}'"

    with refusing(one):
        go(executions)
        deliver_all(broker)

    assert ends(executions) == ["completed", "failed", "completed", "completed"]
    check(executions)


def test_first_claims_of_which_one_is_refused_are_made_singly(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    one = f"NEW.execution_id = '{executions[1].pk}' AND NEW.path = 'a'"

    with refusing(one):
        go(executions)

    assert sent(broker) == [(n, "a") for n in range(4)]
    check_all_completed(executions, script, broker)


def test_news_that_is_refused_of_one_is_told_of_the_others(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(*(f"b{n}" for n in range(4)))
    news = (
        f"NEW.execution_id = '{executions[1].pk}' AND NEW.path = 'b' "
        "AND NEW.status = 'running' AND NEW.started_at < statement_timestamp()"
    )

    with beside(script, lambda: go(executions)):
        with refusing(news):
            await_waiting(gate, 4)
            others = [executions[n] for n in (0, 2, 3)]
            until(lambda: all(events_of(e, "b") for e in others), "the news of them")
        assert events_of(executions[1], "b") == []

    check_all_completed(executions, script, broker)
    for execution in executions:
        assert events_of(execution, "b") == ["step.started", "step.completed"]


def test_one_of_whom_nothing_can_be_recorded_any_more_keeps_nobody(
    broker: redis.Redis, script: Waits
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    one = f"NEW.execution_id = '{executions[1].pk}' AND NEW.attempt > 0"
    gate = script.gate(*(f"b{n}" for n in range(4)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 4)
        with refusing(one):
            gate.open()
            others = ["completed", "running", "completed", "completed"]
            until(lambda: ends(executions) == others, "the end of the others")

    assert script.calls.count("b1") == 1


# --- the lease ends -------------------------------------------------------------------


def test_a_crowd_whose_lease_is_lost_stops_and_others_do_its_steps(
    broker: redis.Redis, script: Waits, roomy: Worker
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    gate = script.gate(*(f"b{n}" for n in range(4)))

    with beside(script, lambda: go(executions)):
        await_waiting(gate, 4)
        before = roomy.id
        roomy._renewed -= 3600
        roomy._give_up_lost_lease()
        await_waiting(gate, 0)

    end_lease(before)
    for execution in executions:
        age(execution, 600)
    assert recovery.free_lost_steps() == 4
    assert recovery.wake_due() == 4
    roomy._beat()
    deliver_all(broker)
    assert ends(executions) == ["completed"] * 4
    assert {now_of(e).status for e in executions} == {"completed"}
    assert [script.calls.count(f"b{n}") for n in range(4)] == [2] * 4
    check(executions)
    assert told(executions[0]).count("execution.completed") == 1
    assert messages(broker) == []


# --- faults of the engine's own -------------------------------------------------------


def test_a_step_that_cannot_be_started_fails_by_itself(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = launched_many(*script.steps())
    broker.delete("io")
    faults = iter([False, True])

    def failing() -> asyncio.AbstractEventLoop:
        if next(faults, False):
            raise RuntimeError("can't start new thread")
        return eventloop.current_loop()

    monkeypatch.setattr(attempts, "current_loop", failing)

    go(executions)

    assert sorted(ends(executions)) == ["completed"] * 3 + ["failed"]
    check(executions)


def test_a_fault_behind_one_keeps_nobody_else_from_going_on(
    broker: redis.Redis, script: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = {"max_retries": 1, "retry_delay_ms": 0}
    executions = launched_many(*script.steps(b=again))
    broker.delete("io")
    script.acts["b1"] = fail

    def stumble(*_: Any, **__: Any) -> None:
        raise LookupError("a fault")

    monkeypatch.setattr("executions.worker.parting.passage.send_members", stumble)

    go(executions)

    assert ends(executions) == ["completed", "running", "completed", "completed"]
    for each in executions:
        age(each, 600)
    check(executions)
    assert told(executions[1])[-1] == "step.retrying b"
