"""What programs do with tools: calls, results, output, records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roles.runners.codemode import Limits, instructions, run_program
from roles.runners.hosting import Refusal
from tests.unit.roles.codemode_desk import TOOLS, Desk, failed, ran

CREATE = "system.create_orchestration"
EXECUTE = "system.execute_orchestration"


def test_a_program_calls_a_tool_and_returns_its_last_expression():
    desk = Desk()

    done = ran("made = await system.create_orchestration(name='x')\nmade['id']", desk)

    assert (done.result, done.error) == ("7", None)
    assert desk.asked == [(CREATE, {"name": "x"})]


def test_each_call_is_on_record():
    done = ran("await system.create_orchestration(name='x', tags=['a'])")

    [record] = done.calls
    assert record.pop("duration_ms") >= 0
    assert record == {
        "tool": CREATE,
        "arguments": {"name": "x", "tags": ["a"]},
        "outcome": "done",
        "detail": "",
    }


def test_arguments_may_be_built_in_steps():
    desk = Desk()
    program = """
steps = []
for number in range(2):
    steps.append({"key": f"s{number}"})
steps[0]["kind"] = "one"
await system.create_orchestration(name="x", steps=steps)
"""

    assert ran(program, desk).error is None
    assert desk.asked[0][1]["steps"] == [{"key": "s0", "kind": "one"}, {"key": "s1"}]


def test_calls_that_are_gathered_run_at_the_same_time():
    both = asyncio.Barrier(2)

    async def call(name: str, arguments: Any) -> Any:
        await both.wait()
        return arguments["name"]

    program = """
import asyncio
await asyncio.gather(
    system.execute_orchestration(name="a"), system.execute_orchestration(name="b")
)
"""

    assert ran(program, call, max_seconds=5).result == ["a", "b"]


@pytest.mark.parametrize(
    "program",
    [
        "import system\nawait system.execute_orchestration(name='x')",
        "import system as s\nawait s.execute_orchestration(name='x')",
        "from system import execute_orchestration as go\nawait go(name='x')",
        "go = system.execute_orchestration\nawait go(name='x')",
        "await getattr(system, 'execute_' + 'orchestration')(name='x')",
        "async def go(): return await system.execute_orchestration(name='x')\nawait go()",
    ],
)
def test_a_tool_is_found_by_every_usual_way_of_python(program):
    desk = Desk()

    assert ran(program, desk).result == {"id": "7"}
    assert desk.asked == [(EXECUTE, {"name": "x"})]


def test_other_names_are_functions_of_the_module_tools():
    desk = Desk()

    assert ran("await tools.function_text_upper(text='a')", desk).error is None
    assert ran("await tools.function_text_upper('b')", desk).error is None
    assert ran("await tools.http_weather({'city': 'c'})", desk).error is None
    assert ran("await tools.http_weather(input='d')", desk).error is None
    assert desk.asked == [
        ("function:text.upper", {"text": "a"}),
        ("function:text.upper", {"text": "b"}),
        ("http:weather", {"city": "c"}),
        ("http:weather", {"input": "d"}),
    ]


def test_none_leaves_out_what_takes_no_null():
    desk = Desk()

    ran("await system.create_orchestration(name='x', tags=None, timeout_ms=None)", desk)

    assert desk.asked == [(CREATE, {"name": "x", "timeout_ms": None})]


def test_a_refusal_can_be_caught():
    program = """
try:
    await system.execute_orchestration(name="x")
except RuntimeError as refusal:
    text = str(refusal)
text
"""
    desk = Desk(execute_orchestration=Refusal("The budget is at its end."))

    done = ran(program, desk)

    assert done.result == "The budget is at its end."
    assert done.calls[0]["outcome"] == "refused"
    assert done.calls[0]["detail"] == "The budget is at its end."


def test_a_refusal_that_is_not_caught_ends_the_program_at_its_line():
    desk = Desk(execute_orchestration=Refusal("Not today."))

    error = failed("x = 1\nawait system.execute_orchestration(name='x')", desk)

    assert error == ("RuntimeError", "Not today.", 2)


def test_a_fault_of_a_tool_is_told_without_its_text():
    desk = Desk(execute_orchestration=ValueError("password=hunter2"))

    done = ran("await system.execute_orchestration(name='x')", desk)

    assert "hunter2" not in str(done)
    assert done.calls[0]["outcome"] == "failed"
    assert done.error == {
        "type": "RuntimeError",
        "message": f"The tool {EXECUTE} failed.",
        "line": 1,
    }


def test_what_a_tool_returns_has_to_be_json():
    desk = Desk(execute_orchestration=lambda _: {"at": object()})

    done = ran("await system.execute_orchestration(name='x')", desk)

    assert done.calls[0]["outcome"] == "failed"
    assert "object at" not in str(done)


def test_what_is_printed_comes_back_in_order():
    done = ran("print('a', 1)\nawait tools.http_weather(1)\nprint('b', end='')")

    assert done.output == "a 1\nb"


def test_output_before_a_failure_is_kept():
    done = ran("print('so far')\n1 / 0")

    assert done.output == "so far\n"
    assert done.error == {
        "type": "ZeroDivisionError",
        "message": "division by zero",
        "line": 2,
    }


@pytest.mark.parametrize("last", ["{1, 2}", "'a' * 30_000", "{1: 2}", "float('nan')"])
def test_a_last_value_that_is_no_result_is_left_out_and_said(last):
    done = ran(f"print('done')\nvalue = {last}\nvalue")

    assert (done.result, done.error) == (None, None)
    assert done.output.startswith("done\n(The last value was left out: It is ")


@pytest.mark.parametrize("empty", ["", "\n", "# nothing", "x = 1", "None"])
def test_a_program_without_a_last_expression_has_no_result(empty):
    done = ran(empty)

    assert (done.result, done.error, done.output) == (None, None, "")


def test_nothing_is_left_of_an_earlier_program():
    assert ran("secret = 5\nsecret").result == 5

    type_, message, _ = failed("secret")

    assert type_ == "TypeCheckError"
    assert "`secret`" in message


def test_a_call_that_is_never_awaited_is_done_before_the_result():
    desk = Desk()

    done = ran("x = getattr(tools, 'http_weather')(1)\n2", desk)

    assert done.result == 2
    assert done.calls[0]["outcome"] == "done"


def test_the_instructions_name_the_modules_and_the_limits():
    text = instructions(TOOLS, Limits(max_seconds=5, max_calls=3))

    assert "`system` and `tools` are there" in text
    assert "5 s in all, 3 calls" in text
    assert "await system.create_orchestration" in text


def test_one_event_loop_after_the_other_is_served():
    async def one(number: int) -> Any:
        done = await run_program(f"{number} + 1", TOOLS, Desk())
        return done.result

    assert [asyncio.run(one(number)) for number in range(3)] == [1, 2, 3]
