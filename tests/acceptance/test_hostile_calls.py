"""Calls of tools as no schema has them: no JSON, huge, deep, and told twice."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.agents import agent, ask, model, tool_calls, transcript
from tests.acceptance.injection import several
from tests.acceptance.provider import Provider, Turn, calls, says
from tests.acceptance.system import System

pytestmark = pytest.mark.acceptance

UPPER = "function_text_upper"
GRANTED = ["function:text.upper"]
DEEP = 20_000

NO_OBJECTS = ("", "null", "[1, 2]", '"text"', "17", "{not json", '{"a": NaN}', "{}{}")
STRANGE = {
    "huge": json.dumps({"input": "x" * 1_000_000}),
    "deep": '{"input": ' + "[" * DEEP + "]" * DEEP + "}",
    "NUL": json.dumps({"input": "a\0b"}),
    "NUL in a name": json.dumps({"in\0put": "a"}),
    "half a pair": '{"input": "\\ud800"}',
    "a number of 5000 digits": '{"input": ' + "9" * 5_000 + "}",
    "many members": json.dumps({f"k{number}": number for number in range(20_000)}),
}


@pytest.mark.parametrize("name", [UPPER, "system_delete_role"])
@pytest.mark.parametrize("arguments", NO_OBJECTS)
def test_arguments_that_are_no_object_end_no_run(
    system: System, provider: Provider, arguments: str, name: str
) -> None:
    asked = model(system, provider, several((name, arguments)), says("done"))

    ended = ask(system, agent(system, asked, tools=GRANTED))

    assert ended["status"] == "completed", ended["error"]
    assert len(provider.asked_of(asked.partition(":")[2])) == 2
    assert "done" not in [call["outcome"] for call in tool_calls(system, ended["id"])]


@pytest.mark.parametrize("name", [UPPER, "system_delete_role", "run_code"])
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_arguments_end_no_run_and_no_worker(
    system: System, provider: Provider, strange: str, name: str
) -> None:
    asked = model(system, provider, several((name, STRANGE[strange])), says("done"))
    before = {name: child.pid for name, child in system.children.items()}
    config = {"code_mode": True} if name == "run_code" else {}

    ended = ask(system, agent(system, asked, tools=GRANTED, config=config))

    assert ended["status"] == "completed", ended["error"]
    assert transcript(system, ended["id"])
    assert {name: child.pid for name, child in system.children.items()} == before
    assert ended["step_logs"][0]["attempt"] == 1


def test_two_calls_under_one_id_are_two_calls(
    system: System, provider: Provider
) -> None:
    # Given a provider that gives all its calls one id, also in the next answer
    twice = several(
        (UPPER, {"input": "one"}), (UPPER, {"input": "two"}), ids=("same", "same")
    )
    again = several((UPPER, {"input": "three"}), ids=("same",))
    asked = model(system, provider, twice, again, says("done"))

    ended = ask(system, agent(system, asked, tools=GRANTED))

    # Then each was made, and none was answered from the memory of another
    assert ended["status"] == "completed", ended["error"]
    results = [call["result"] for call in tool_calls(system, ended["id"])]
    assert sorted(results) == ["ONE", "THREE", "TWO"]


@pytest.mark.parametrize("strange", ["", "x" * 5_000, "a\0b", "final_result", "a:b:1"])
def test_an_id_of_any_kind_is_taken(
    system: System, provider: Provider, strange: str
) -> None:
    turn = several((UPPER, {"input": "one"}), ids=(strange,))
    asked = model(system, provider, turn, says("done"))

    ended = ask(system, agent(system, asked, tools=GRANTED))

    assert ended["status"] == "completed", ended["error"]
    assert [call["result"] for call in tool_calls(system, ended["id"])] == ["ONE"]


def test_a_name_of_any_kind_is_refused(system: System, provider: Provider) -> None:
    names = ["", "a" * 5_000, "a\0b", "__class__", "../../etc", "function_text_upper "]
    turn = several(*[(name, {}) for name in names])
    asked = model(system, provider, turn, says("done"))

    ended = ask(system, agent(system, asked, tools=GRANTED))

    assert ended["status"] == "completed", ended["error"]
    outcomes = {call["outcome"] for call in tool_calls(system, ended["id"])}
    assert outcomes == {"refused"}


def test_a_hundred_calls_in_one_answer_are_held_to_the_limit(
    system: System, provider: Provider
) -> None:
    turn = several(*[(UPPER, {"input": str(number)}) for number in range(100)])
    asked = model(system, provider, turn, says("done"))
    config = {"max_tool_calls": 10}

    ended = ask(system, agent(system, asked, tools=GRANTED, config=config))

    assert ended["status"] == "failed"
    assert ended["step_logs"][0]["error"]["type"] == "usage_limit"
    assert len(tool_calls(system, ended["id"])) <= 10


def test_a_text_that_is_endless_or_empty_is_no_answer_that_harms(
    system: System, provider: Provider
) -> None:
    asked = model(system, provider, Turn(text="x" * 3_000_000), calls(UPPER, input="a"))

    ended = ask(system, agent(system, asked, tools=GRANTED), seconds=60)

    assert ended["status"] in ("completed", "failed")
    assert transcript(system, ended["id"])
