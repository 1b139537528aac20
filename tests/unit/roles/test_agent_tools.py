from __future__ import annotations

import asyncio

import pytest

from roles.runners import RunnerError
from roles.runners.hosting import Memory, Parked, Refusal
from tests.unit.roles.agent_host import Script, ScriptedHost, calls

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def add(a=0, b=0):
    return {"sum": a + b}


def test_a_tool_is_offered_under_a_name_that_providers_take(talk):
    host = ScriptedHost(tools={"system.add": add})
    script = Script("ok")
    talk(host, script=script)

    (tool,) = script.asked[0][1].function_tools
    assert (tool.name, tool.description) == ("system_add", "Does system.add.")
    assert tool.parameters_json_schema == {"type": "object"}


def test_a_call_reaches_the_host_and_its_result_the_model(talk):
    host = ScriptedHost(tools={"system.add": add})
    script = Script(calls(("system_add", {"a": 2, "b": 3}, "c1")), "5")
    result = talk(host, script=script)

    assert result.output == "5"
    assert host.called == [("system.add", "c1", {"a": 2, "b": 3})]
    assert "'sum': 5" in script.told()
    assert result.usage["tool_calls"] == 1
    assert [usage.tool_calls for _, usage in host.ended] == [1, 0]


def test_the_answer_is_on_record_before_its_calls_are_made(talk):
    host = ScriptedHost()
    host.tools = {"look": lambda: len(host.messages)}
    script = Script(calls("look"), "done")
    talk(host, script=script)

    assert "content=2" in script.told()


def test_calls_of_one_answer_run_side_by_side(talk):
    met = asyncio.Event()

    async def wait():
        await asyncio.wait_for(met.wait(), 5)
        return "met"

    async def meet():
        met.set()
        return "here"

    host = ScriptedHost(tools={"wait": wait, "meet": meet})
    script = Script(calls("wait", "meet"), "done")

    assert talk(host, script=script).output == "done"


def test_a_refusal_is_read_by_the_model_again_and_again(talk):
    def refuse():
        raise Refusal("Not on a Monday.")

    host = ScriptedHost(tools={"gone": refuse})
    script = Script(*[calls("gone")] * 8, "I give up")

    assert talk(host, script=script).output == "I give up"
    assert "Not on a Monday." in script.told()
    assert len(host.called) == 8


def test_a_tool_that_is_not_there_is_refused_by_the_host_too(talk):
    host = ScriptedHost(tools={"add": add})
    script = Script(calls(("launch_missiles", {"at": "noon"}, "c9")), "sorry")
    result = talk(host, script=script)

    assert result.output == "sorry"
    assert host.called == [("launch_missiles", "c9", {"at": "noon"})]
    assert "Unknown tool name: 'launch_missiles'" in script.told()


def test_an_agent_without_tools_may_call_none(talk):
    host = ScriptedHost()
    script = Script(calls("launch_missiles"), "sorry")

    assert talk(host, script=script).output == "sorry"
    assert [name for name, _, _ in host.called] == ["launch_missiles"]


def test_a_tool_called_by_its_own_name_is_found(talk):
    host = ScriptedHost(tools={"system.add": add})
    script = Script(calls(("system.add", {"a": 1}, "c1")), "1")
    talk(host, script=script)

    assert host.called == [("system.add", "c1", {"a": 1})]


@pytest.mark.parametrize("arguments", ["[1, 2]", '{"a": ', '"text"'])
def test_arguments_that_are_no_object_are_asked_for_again(talk, arguments):
    host = ScriptedHost(tools={"add": add})
    script = Script(calls(("add", arguments, None)), calls("add"), "fine")

    assert talk(host, script=script).output == "fine"
    assert len(host.called) == 1


def test_ids_that_a_provider_uses_twice_are_told_apart(talk):
    numbers = iter([1, 2, 3])
    host = ScriptedHost(tools={"next": lambda: next(numbers)})
    again = calls(("next", {}, "call_0"), ("next", {}, "call_0"))
    script = Script(calls(("next", {}, "call_0")), again, "done")
    talk(host, script=script)

    assert len({call_id for _, call_id, _ in host.called}) == 3
    assert "content=2" in script.told()
    assert "content=3" in script.told()


def test_an_id_of_an_earlier_attempt_is_not_used_again(talk):
    memory = Memory(results={"call_0": "stale"})
    host = ScriptedHost(tools={"add": add}, memory=memory)
    script = Script(calls(("add", {"a": 1}, "call_0")), "done")
    talk(host, script=script)

    assert "'sum': 1" in script.told()


def test_a_long_result_is_shortened_with_a_note(talk):
    host = ScriptedHost(tools={"read": lambda: ["x" * 300_000]})
    script = Script(calls("read"), "long")
    talk(host, script=script)

    assert "Shortened: the result has 300004 characters" in script.told()
    assert len(script.told()) < 210_000


def test_a_fault_of_a_tool_is_left_to_the_engine(talk):
    host = ScriptedHost(tools={"divide": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        talk(host, script=Script(calls("divide")))

    assert not host.open


@pytest.mark.parametrize(
    "raised",
    [
        RunnerError("The database is away.", type="outage", retryable=True),
        Parked("Wait.", kind="budget"),
    ],
)
def test_what_a_tool_raises_for_the_engine_comes_out_as_it_is(talk, raised):
    def fail():
        raise raised

    host = ScriptedHost(tools={"fail": fail, "add": add})
    with pytest.raises(type(raised)) as caught:
        talk(host, script=Script(calls("fail", "add")))

    assert caught.value is raised


def test_a_slow_tool_ends_with_the_deadline(talk):
    async def sleep():
        await asyncio.Event().wait()

    host = ScriptedHost(tools={"sleep": sleep})
    with pytest.raises(RunnerError) as caught:
        talk(host, script=Script(calls("sleep")), seconds=0.3)

    assert caught.value.type == "model_timeout"


def test_a_timeout_inside_a_tool_is_not_the_attempts(talk):
    def late():
        raise TimeoutError("the tool's own")

    host = ScriptedHost(tools={"late": late})
    with pytest.raises(TimeoutError, match="the tool's own"):
        talk(host, script=Script(calls("late")))


@pytest.mark.parametrize(
    ("config", "script", "words"),
    [
        ({"max_requests": 2}, [calls("add")] * 5, "request_limit of 2"),
        ({"max_tool_calls": 3}, [calls("add", "add")] * 5, "more than 3 times"),
        ({"max_tool_calls": 0}, [calls("add")], "more than 0 times"),
        ({"max_total_tokens": 5}, ["a long answer of many words"], "total_tokens"),
    ],
)
def test_limits_end_the_attempt_for_good(talk, config, script, words):
    host = ScriptedHost(tools={"add": add})
    with pytest.raises(RunnerError) as caught:
        talk(host, script=Script(*script), config=config)

    assert (caught.value.type, caught.value.retryable) == ("usage_limit", False)
    assert words in caught.value.message
    assert not host.open


def test_refused_calls_count_for_the_limit(talk):
    host = ScriptedHost(tools={"add": add})
    host.call_tool = None  # never reached: the limit comes first
    with pytest.raises(RunnerError):
        talk(host, script=Script(calls("add")), config={"max_tool_calls": 0})


def test_a_structured_answer_may_follow_tool_calls(talk):
    host = ScriptedHost(tools={"add": add})
    script = Script(calls("add"), {"n": "one"}, {"n": 1})

    assert talk(host, script=script, output_schema=SCHEMA).output == {"n": 1}
    assert len(host.called) == 1


def test_a_role_without_tools_is_given_none(talk):
    host = ScriptedHost(tools={"add": add})
    script = Script("ok")
    talk(host, script=script, tools=())

    assert not script.asked[0][1].function_tools
