"""Agents on real workers: tools, faults of providers, people, money, memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.agents import (
    KEY,
    agent,
    ask,
    begin,
    model,
    tool_calls,
    transcript,
    waiting,
)
from tests.acceptance.provider import Provider, calls, refuses, says
from tests.acceptance.system import System, logs_by_key, until

pytestmark = pytest.mark.acceptance

ADD = "function_math_add"


# --- answers --------------------------------------------------------------------------


def test_an_answer_is_the_steps_output_with_what_it_cost(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("Hi!", tokens=(1_000, 100)))

    ended = ask(system, agent(system, name))

    log = logs_by_key(ended)["ask"]
    assert (ended["status"], log["output"]) == ("completed", "Hi!")
    usage = log["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (1_000, 100)
    assert Decimal(usage["cost"]) == Decimal("0.002")
    assert Decimal(ended["usage"]["cost"]) == Decimal("0.002")


def test_the_provider_is_shown_its_own_key_and_nobody_else_is(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("Hi!"))

    ended = ask(system, agent(system, name))

    (asked,) = provider.asked_of(name.partition(":")[2])
    assert asked.key == KEY
    assert KEY not in str(ended)
    assert KEY not in str(transcript(system, ended["id"]))


def test_a_provider_that_shows_the_key_shows_it_to_nobody_else(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says(f"Your key is {KEY}."))

    ended = ask(system, agent(system, name))

    said = logs_by_key(ended)["ask"]["output"]
    assert said == "Your key is [secret:scripted-provider]."
    assert KEY not in str(transcript(system, ended["id"]))


def test_an_unknown_price_is_shown_as_unknown(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("Hi!"), input_price=None)

    usage = ask(system, agent(system, name))["usage"]

    assert usage["cost"] is None
    assert usage["unpriced_requests"] == 1


def test_a_misfit_is_repaired_once(system: System, provider: Provider) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    name = model(
        system, provider, calls("final_result", n="x"), calls("final_result", n=7)
    )

    ended = ask(system, agent(system, name, output_schema=schema))

    assert logs_by_key(ended)["ask"]["output"] == {"n": 7}, ended
    assert len(provider.asked_of(name.partition(":")[2])) == 2


# --- tools ----------------------------------------------------------------------------


def test_tools_are_called_and_their_calls_are_on_record(
    system: System, provider: Provider
) -> None:
    name = model(
        system, provider, calls("function_text_upper", input="abc"), says("done")
    )
    role = agent(system, name, tools=["function:text.upper"])

    ended = ask(system, role)

    assert ended["status"] == "completed", ended["error"]
    (call,) = tool_calls(system, ended["id"])
    (logged,) = logs_by_key(ended)["ask"]["calls"]
    assert (logged["tool"], logged["result"]) == (call["tool"], call["result"])
    assert (call["tool"], call["outcome"]) == ("function:text.upper", "done")
    assert "ABC" in str(call["result"])
    second = provider.asked_of(name.partition(":")[2])[1]
    assert "ABC" in str(second.results)
    assert second.tools == ["function_text_upper"]


def test_an_agent_without_tools_is_told_of_none(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("done"))

    ask(system, agent(system, name))

    (asked,) = provider.asked_of(name.partition(":")[2])
    assert asked.tools == []


# --- faults of providers ----------------------------------------------------------------


def test_a_provider_that_asks_for_a_pause_parks_the_step(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, refuses(429, Retry_After="2"), says("Hi!"))

    execution = begin(system, agent(system, name))
    parked = waiting(system, execution, "provider")
    ended = system.finished(execution)

    assert parked["step_logs"][0]["status"] == "waiting"
    assert ended["status"] == "completed", ended["error"]
    first, second = provider.asked_of(name.partition(":")[2])
    assert second.at - first.at >= 2


def test_one_that_is_overloaded_is_replaced_within_the_constraints(
    system: System, provider: Provider
) -> None:
    busy = model(system, provider, refuses(503), tier="fast")
    other = model(system, provider, says("Here."), tier="fast")
    constraints = {"preferred": [busy, other], "providers": ["scripted"]}

    ended = ask(system, agent(system, model_constraints=constraints))

    log = logs_by_key(ended)["ask"]
    assert log["output"] == "Here."
    assert log["usage"]["model"] == other
    why = system.get(f"model-choices/{log['model_choice']}/")["choice"]
    assert (why["chosen"], why["fallbacks"][:1]) == (busy, [other])
    assert len(provider.asked_of(busy.partition(":")[2])) == 1


def test_a_slow_provider_ends_with_the_steps_time(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("late", delay_s=8))

    ended = ask(system, agent(system, name), timeout_ms=1_500)

    log = logs_by_key(ended)["ask"]
    assert ended["status"] in ("failed", "timed_out")
    assert log["error"]["type"] in ("timed_out", "model_timeout")
    assert log["duration_ms"] < 6_500


# --- people ---------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "ran"), [("approve", 1), ("reject", 0)])
def test_a_tool_that_needs_a_person_waits_for_one(
    system: System, provider: Provider, decision: str, ran: int
) -> None:
    name = model(
        system, provider, calls("function_text_upper", input="abc"), says("ok")
    )
    config = {"approval": {"tools": ["function:*"]}}
    role = agent(system, name, tools=["function:text.upper"], config=config)

    execution = begin(system, role)
    parked = waiting(system, execution, "approval")
    assert tool_calls(system, execution) == []
    approval = parked["step_logs"][0]["approval_id"]
    answer = system.client.post(f"approvals/{approval}/{decision}/", json={})
    assert answer.status_code == 200, answer.text
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    done = [call for call in tool_calls(system, execution) if call["outcome"] == "done"]
    assert len(done) == ran
    assert len(provider.asked_of(name.partition(":")[2])) == 2


# --- money ----------------------------------------------------------------------------


def test_at_its_limit_an_execution_waits_until_somebody_raises_it(
    system: System, provider: Provider
) -> None:
    name = model(system, provider, says("Hi!"))
    role = agent(system, name)
    role_id = system.get(f"roles/?name={role}")["results"][0]["id"]
    body = {"scope": "role", "scope_id": role_id, "requests": 1}
    budget = system.post("budgets/", body, status=201)
    assert ask(system, role)["status"] == "completed"

    def held() -> str | None:
        execution = begin(system, role)
        found = until(
            lambda: _settled_or_waiting(system, execution), what="the end or a wait"
        )
        return execution if found == "waiting" else None

    execution = until(held, what="the budget's limit")  # known to all within seconds
    waiting(system, execution, "budget")
    raised = system.client.patch(f"budgets/{budget['id']}/", json={"requests": 100})
    assert raised.status_code == 200, raised.text

    ended = system.finished(execution)
    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["ask"]["output"] == "Hi!"


def test_near_its_limit_a_cheaper_model_is_asked(
    system: System, provider: Provider
) -> None:
    dear = model(system, provider, says("dear", tokens=(1_000, 1_000)), tier="best")
    cheap = model(
        system,
        provider,
        says("cheap"),
        tier="best",
        input_price="0.01",
        output_price="0.01",
    )
    constraints = {"preferred": [dear, cheap], "providers": ["scripted"]}
    role = agent(system, model_constraints=constraints)
    role_id = system.get(f"roles/?name={role}")["results"][0]["id"]
    body = {
        "scope": "role",
        "scope_id": role_id,
        "requests": 20,
        "soft_percent": 10,
        "on_soft": "cheaper",
    }
    system.post("budgets/", body, status=201)

    def answer() -> Any:
        return ask(system, role)["output"] == {"ask": "cheap"}

    until(answer, what="a cheaper answer")  # the budget is known to all within seconds
    used = len(provider.asked_of(dear.partition(":")[2]))
    assert ask(system, role)["output"] == {"ask": "cheap"}
    assert len(provider.asked_of(dear.partition(":")[2])) == used


def _settled_or_waiting(system: System, execution: str) -> str | None:
    status = system.execution(execution)["status"]
    return status if status in ("waiting", "completed", "failed") else None


# --- memory ---------------------------------------------------------------------------


def test_a_retry_pays_for_nothing_that_is_on_record(
    system: System, provider: Provider
) -> None:
    name = model(
        system,
        provider,
        calls("function_text_upper", input="abc"),
        refuses(400),
        says("done"),
    )
    role = agent(system, name, tools=["function:text.upper"])

    ended = ask(system, role, max_retries=2, retry_delay_ms=0)

    if ended["status"] == "failed":  # the provider's no is final
        system.post(f"executions/{ended['id']}/retry/", {}, status=202)
        ended = system.finished(ended["id"])
    assert ended["status"] == "completed", ended["error"]
    assert len(tool_calls(system, ended["id"])) == 1
    first, _, third = provider.asked_of(name.partition(":")[2])
    assert len(third.messages) > len(first.messages)
    assert _content(third.messages).count("ABC") == 1


def _content(messages: list[dict[str, Any]]) -> str:
    return " ".join(str(message.get("content")) for message in messages)
