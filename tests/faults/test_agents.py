"""Agents whose workers, servers and providers go away in the middle of a thought."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agents import agent, ask, begin, model, tool_calls, waiting
from tests.acceptance.provider import Provider, Turn, calls, refuses, says
from tests.acceptance.system import logs_by_key, until
from tests.faults.fleet import DEFAULT_LEASE, SHORT_LEASE, Fleet, watch
from tests.faults.models import (
    COST,
    TOKENS,
    Held,
    Overloaded,
    begin_many,
    burnt,
    limited,
    paid,
    reserved,
    spent,
    statuses,
    worker,
)
from tests.faults.processes import CPU, CPU_2, IO, IO_2, RECONCILER

pytestmark = [pytest.mark.fault, pytest.mark.slow]

TOOL = "function_fault_tool"
BLOCKING = "function_fault_blocking_tool"
APPROVAL = {"approval": {"tools": ["*"]}}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


def asked_of(provider: Provider, name: str) -> int:
    return len(provider.asked_of(name.partition(":")[2]))


def done_by_tools(fleet: Fleet) -> list[str]:
    return [each.body["tool"] for each in fleet.sink.at("/tool")]


def act(name: str, **more: Any) -> Turn:
    return calls(TOOL, input={"name": name, **more})


# --- killed workers -------------------------------------------------------------------


def test_the_next_attempt_pays_and_does_nothing_again_that_is_on_record(
    fleet: Fleet, provider: Provider
) -> None:
    # Given an agent that has called two tools, and thinks about what comes next
    held = Held()
    name = model(fleet, provider, act("one"), act("two"), held.turn)
    execution = begin(fleet, worker(fleet, name))
    held.await_count(1)

    # When its worker is killed, and another one comes
    fleet.kill(IO)
    held.let_go()
    fleet.restart(IO)
    ended = fleet.finished(execution, seconds=40)

    # Then only the request that was not answered is made again
    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["ask"]["output"] == "done 2"
    assert asked_of(provider, name) == 4
    assert done_by_tools(fleet) == ["one", "two"]
    assert len(tool_calls(fleet, execution)) == 2
    assert len(paid(fleet, execution)) == 3
    assert burnt(fleet) == []


def test_a_tool_that_was_at_work_is_called_again_under_the_same_key(
    fleet: Fleet, provider: Provider
) -> None:
    # Given an agent one of whose two tools has ended, and one is at work
    turn = Turn(
        calls=[
            (TOOL, {"input": {"name": "quick"}}),
            (TOOL, {"input": {"name": "slow", "release": "slow"}}),
        ]
    )
    name = model(fleet, provider, turn, says("done"))
    execution = begin(fleet, worker(fleet, name))
    until(lambda: sorted(done_by_tools(fleet)) == ["quick", "slow"], what="both")
    until(lambda: len(tool_calls(fleet, execution)) == 1, what="one on record")

    # When its worker is killed
    fleet.kill(IO)
    fleet.release("slow")
    fleet.restart(IO)
    ended = fleet.finished(execution, seconds=40)

    # Then that one is called again, as the same call, and the model asked on
    assert ended["status"] == "completed", ended["error"]
    assert sorted(done_by_tools(fleet)) == ["quick", "slow", "slow"]
    keys = [each.key for each in fleet.sink.at("/tool") if each.body["tool"] == "slow"]
    assert len(set(keys)) == 1
    assert asked_of(provider, name) == 2


def test_what_is_parked_survives_every_process(
    fleet: Fleet, provider: Provider
) -> None:
    # Given an agent that has called a tool and waits for its provider
    name = model(
        fleet, provider, act("one"), refuses(429, Retry_After="12"), says("done")
    )
    execution = begin(fleet, worker(fleet, name))
    waiting(fleet, execution, "provider")

    # When everything that works is killed, and comes back
    for process in (IO, CPU, CPU_2, RECONCILER):
        fleet.kill(process)
    for process in (IO, CPU, CPU_2, RECONCILER):
        fleet.restart(process)
    ended = fleet.finished(execution, seconds=60)

    # Then it goes on once, from where it was
    assert ended["status"] == "completed", ended["error"]
    assert asked_of(provider, name) == 3
    assert done_by_tools(fleet) == ["one"]
    assert burnt(fleet) == []


def test_a_frozen_workers_late_answer_is_paid_for_and_changes_nothing(
    fleet: Fleet, provider: Provider
) -> None:
    # Given an agent that waits for its model on one of two workers
    held = Held(first=1)
    name = model(fleet, provider, held.turn)
    role = worker(fleet, name)
    budget = limited(fleet, role, money="1")
    execution = begin(fleet, role)
    held.await_count(1)

    # When that worker is frozen, the step done elsewhere, and the answer comes then
    fleet.freeze(IO)
    fleet.restart(IO_2)
    ended = fleet.finished(execution, seconds=60)
    held.let_go()
    watch(0.5)
    fleet.thaw(IO)
    watch(5.0)

    # Then the outcome stands, and both calls are in the ledger
    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(fleet.execution(execution))["ask"]["output"] == "done 2"
    assert fleet.execution(execution)["status"] == "completed"
    assert len(paid(fleet, execution)) == 2
    assert spent(fleet, budget) >= 2 * COST
    assert reserved(fleet, budget) == 0


# --- servers that go away -------------------------------------------------------------


@pytest.mark.parametrize("lease", [SHORT_LEASE, DEFAULT_LEASE])
def test_no_answer_is_lost_while_postgres_is_away(
    fleet: Fleet, provider: Provider, lease: dict[str, str]
) -> None:
    # Given twenty agents whose answers are on their way
    fleet.restart(IO, **lease)
    held = Held()
    name = model(fleet, provider, held.turn)
    executions = begin_many(fleet, worker(fleet, name), 20)
    until(lambda: held.count == 20 or burnt(fleet), what="twenty at the provider")
    assert burnt(fleet) == []

    # When PostgreSQL goes before they come, and comes back later
    fleet.halt_postgres()
    held.let_go()
    watch(10)
    fleet.postgres.start()

    # Then each is the output of its step, and in the ledger exactly once
    ended = [fleet.finished(each, seconds=90) for each in executions]
    assert {each["status"] for each in ended} == {"completed"}
    assert burnt(fleet) == []
    until(
        lambda: len(paid(fleet, *executions)) >= asked_of(provider, name),
        what="every answer in the ledger",
    )
    rows = paid(fleet, *executions)
    assert {execution for execution, _, _ in rows} == set(executions)
    assert len(rows) == asked_of(provider, name) <= 2 * 20


def test_what_is_parked_needs_no_valkey(fleet: Fleet, provider: Provider) -> None:
    # Given an agent that waits for its provider
    name = model(fleet, provider, refuses(429, Retry_After="5"), says("done"))
    execution = begin(fleet, worker(fleet, name))
    waiting(fleet, execution, "provider")

    # When Valkey loses all that it had
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)

    # Then it goes on as if nothing had been
    ended = fleet.finished(execution, seconds=60)
    assert ended["status"] == "completed", ended["error"]
    assert asked_of(provider, name) == 2


# --- providers that are overloaded ----------------------------------------------------


def test_fifty_agents_leave_an_overloaded_provider_alone(
    fleet: Fleet, provider: Provider
) -> None:
    # Given a provider that refuses everybody, and fifty agents that ask at once
    busy = Overloaded(seconds=3, pause="6")
    name = model(fleet, provider, busy.turn)
    executions = begin_many(fleet, worker(fleet, name), 50)
    until(lambda: statuses(fleet, executions) == ["waiting"] * 50, what="all parked")

    # When it takes requests again
    ended = [fleet.finished(each, seconds=90) for each in executions]

    # Then one asks first, all others once it was answered, and nobody too often
    assert {each["status"] for each in ended} == {"completed"}
    assert len(busy.refused) <= 50
    assert len(busy.answered) == 50
    first, second = sorted(busy.answered)[:2]
    assert second - first >= 0.8
    assert min(busy.answered) - busy.refused[0] >= 6
    assert burnt(fleet) == []
    assert len(paid(fleet, *executions)) == 50


# --- money ----------------------------------------------------------------------------


def test_a_budget_is_never_exceeded_and_all_complete_once_it_is_raised(
    fleet: Fleet, provider: Provider
) -> None:
    # Given money for about five calls, and twenty agents at once
    name = model(fleet, provider, says("done", tokens=TOKENS, delay_s=0.2))
    role = worker(fleet, name, config={"max_tokens": TOKENS[1]})
    budget = limited(fleet, role, money="0.006")
    executions = begin_many(fleet, role, 20)

    # When as many as can have ended
    def settled() -> bool:
        found = statuses(fleet, executions)
        return set(found) <= {"completed", "waiting"} and reserved(fleet, budget) == 0

    until(settled, seconds=60, what="five that end, and others that wait")
    watch(3.0)  # those who wait for calls under way come back once more
    until(settled, seconds=60, what="five that end, and others that wait")
    found = statuses(fleet, executions)

    # Then no more was spent than there is, and the rest waits for money
    assert 1 <= found.count("completed") <= 5
    assert spent(fleet, budget) == COST * found.count("completed") < 6 * COST
    assert asked_of(provider, name) == found.count("completed")

    # And all complete when there is more
    answer = fleet.client.patch(f"budgets/{budget}/", json={"money": "10"})
    assert answer.status_code == 200, answer.text
    ended = [fleet.finished(each, seconds=60) for each in executions]
    assert {each["status"] for each in ended} == {"completed"}
    assert spent(fleet, budget) == 20 * COST
    assert burnt(fleet) == []


def test_a_call_that_a_killed_worker_left_open_counts_as_lost(
    fleet: Fleet, provider: Provider
) -> None:
    # Given a call under way, for which money is reserved
    held = Held(first=1)
    name = model(fleet, provider, held.turn)
    role = worker(fleet, name, config={"max_tokens": TOKENS[1]})
    budget = limited(fleet, role, money="0.1")
    execution = begin(fleet, role)
    held.await_count(1)
    assert reserved(fleet, budget) == 1

    # When its worker is killed
    fleet.kill(IO)
    fleet.restart(IO)
    ended = fleet.finished(execution, seconds=40)
    held.let_go()

    # Then the most that it may have come to is spent, and stands in the ledger
    assert ended["status"] == "completed", ended["error"]
    (_, lost, most), (_, scripted, cost) = paid(fleet, execution)
    assert (lost, scripted, cost) == ("lost", "scripted", COST)
    assert most >= COST
    assert spent(fleet, budget) == most + cost
    assert reserved(fleet, budget) == 0


# --- people ---------------------------------------------------------------------------


def test_what_is_approved_while_nobody_works_is_done_later_and_once(
    fleet: Fleet, provider: Provider
) -> None:
    # Given an agent that waits for a person, and no worker
    name = model(fleet, provider, act("one"), says("done"))
    execution = begin(fleet, worker(fleet, name, config=APPROVAL))
    parked = waiting(fleet, execution, "approval")
    for process in (IO, CPU, CPU_2):
        fleet.kill(process)

    # When it is approved, by two clicks
    approval = parked["step_logs"][0]["approval_id"]
    codes = [
        fleet.client.post(f"approvals/{approval}/approve/", json={}).status_code
        for _ in range(2)
    ]
    assert codes[0] == 200
    assert done_by_tools(fleet) == []
    for process in (IO, CPU, CPU_2):
        fleet.restart(process)

    # Then the tool is called once
    ended = fleet.finished(execution, seconds=60)
    assert ended["status"] == "completed", ended["error"]
    assert done_by_tools(fleet) == ["one"]
    assert asked_of(provider, name) == 2


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
@pytest.mark.parametrize("where", ["provider", "approval", "model", "tool"])
def test_a_cancelled_agent_is_over_within_ten_seconds(
    fleet: Fleet, provider: Provider, where: str, verb: str
) -> None:
    # Given an agent that waits for something
    held = Held()
    turns: dict[str, Any] = {
        "provider": refuses(429, Retry_After="3600"),
        "approval": act("one"),
        "model": held.turn,
        "tool": act("one", release="never"),
    }
    name = model(fleet, provider, turns[where])
    config = APPROVAL if where == "approval" else {}
    execution = begin(fleet, worker(fleet, name, config=config))
    if where in ("provider", "approval"):
        waiting(fleet, execution, where)
    elif where == "model":
        held.await_count(1)
    else:
        until(lambda: done_by_tools(fleet) == ["one"], what="a tool at work")

    # When it is cancelled
    before = time.monotonic()
    fleet.post(f"executions/{execution}/{verb}/", {}, status=200)
    ended = fleet.finished(execution, seconds=10)

    # Then it is over soon, and asks nobody any more
    assert time.monotonic() - before < 10
    assert ended["status"] == "cancelled"
    held.let_go()
    watch(1.5)
    assert asked_of(provider, name) == 1


# --- neighbours -----------------------------------------------------------------------


def test_tools_that_block_do_not_hold_up_other_agents(
    fleet: Fleet, provider: Provider
) -> None:
    # Given more agents than there are threads, whose tools take a long time
    given = {"name": "slow", "release": "blocking"}
    once = calls(BLOCKING, input=given)
    name = model(fleet, provider, lambda each: says("done") if each.results else once)
    slow = begin_many(
        fleet, agent(fleet, name, tools=["function:fault.blocking_tool"]), 10
    )
    until(lambda: done_by_tools(fleet) == ["slow"] * 10, what="ten that block")

    # When another agent is asked something
    quick = model(fleet, provider, says("done"))
    before = time.monotonic()
    ended = ask(fleet, worker(fleet, quick), seconds=30)

    # Then it is not held up
    assert ended["status"] == "completed"
    assert time.monotonic() - before < 10
    fleet.release("blocking")
    for each in slow:
        fleet.finished(each, seconds=60)
