from __future__ import annotations

import pytest
from pydantic_ai.exceptions import ModelConnectionError
from pydantic_ai.messages import ModelResponse, ToolCallPart

from roles.runners import RunnerError
from roles.runners.hosting import Memory
from tests.unit.roles.agent_host import Script, ScriptedHost, calls

ANSWER = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}


def never(**arguments):
    raise AssertionError("A tool was called again.")


def crash():
    return ModelConnectionError("m", "reset")


def attempt(talk, host, script, **fields):
    with pytest.raises(RunnerError):
        talk(host, script=script, **fields)
    return host.next_memory()


def test_a_retry_makes_the_one_call_that_is_left_and_calls_no_tool_again(talk):
    first = ScriptedHost(tools={"a": lambda: "result of a", "b": lambda: "and of b"})
    script = Script(calls("a"), calls("b"), crash())
    memory = attempt(talk, first, script)
    assert len(first.called) == 2

    second = ScriptedHost(tools={"a": never, "b": never}, memory=memory)
    script = Script("done")
    result = talk(second, script=script)

    assert result.output == "done"
    assert len(script.asked) == 1
    assert not second.called
    told = str(script.asked[0][0])
    assert "result of a" in told
    assert "and of b" in told


def test_a_retry_counts_what_the_step_took_before(talk):
    host = ScriptedHost(tools={"a": lambda: 1})
    memory = attempt(talk, host, Script(calls("a"), crash()))
    result = talk(
        ScriptedHost(tools={"a": never}, memory=memory), script=Script("done")
    )

    assert (result.usage["requests"], result.usage["tool_calls"]) == (2, 1)


def test_only_new_messages_are_put_on_record(talk):
    host = ScriptedHost(tools={"a": lambda: 1})
    memory = attempt(talk, host, Script(calls("a"), crash()))
    assert len(host.messages) == 2

    second = ScriptedHost(tools={"a": never}, memory=memory)
    talk(second, script=Script("done"))

    assert [each["kind"] for each in second.messages] == ["request", "response"]
    assert second.messages[0]["parts"][0]["part_kind"] == "tool-return"


def test_without_tool_calls_a_retry_begins_anew(talk):
    host = ScriptedHost()
    memory = attempt(talk, host, Script({"n": "x"}, {"n": "y"}), output_schema=ANSWER)
    script = Script({"n": 1})
    result = talk(ScriptedHost(memory=memory), script=script, output_schema=ANSWER)

    assert result.output == {"n": 1}
    assert len(script.asked[0][0]) == 1
    assert result.usage["requests"] == 3


def test_wrong_answers_after_the_last_tool_call_are_dropped(talk):
    host = ScriptedHost(tools={"a": lambda: 1})
    script = Script(calls("a"), {"n": "x"}, {"n": "y"})
    memory = attempt(talk, host, script, output_schema=ANSWER)

    script = Script({"n": 1})
    second = ScriptedHost(tools={"a": never}, memory=memory)
    talk(second, script=script, output_schema=ANSWER)
    assert len(script.asked[0][0]) == 3


def test_a_third_attempt_follows_the_second_and_not_what_that_dropped(talk):
    tools = {"a": lambda: "of a", "b": lambda: "of b"}
    first = ScriptedHost(tools=tools)
    script = Script(calls("a"), {"n": "x"}, {"n": "y"})
    memory = attempt(talk, first, script, output_schema=ANSWER)

    second = ScriptedHost(tools=tools, memory=memory)
    memory = attempt(talk, second, Script(calls("b"), crash()), output_schema=ANSWER)

    third = ScriptedHost(tools={"a": never, "b": never}, memory=memory)
    script = Script({"n": 3})
    talk(third, script=script, output_schema=ANSWER)

    messages = script.asked[0][0]
    assert len(messages) == 5
    assert str(messages).count("of a") == 1
    assert "'y'" not in str(messages)


def test_a_call_that_was_not_finished_is_made_again(talk):
    first = ScriptedHost(tools={"a": lambda: 1, "b": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        talk(first, script=Script(calls("a", "b")))

    second = ScriptedHost(
        tools={"a": never, "b": lambda: "now"}, memory=first.next_memory()
    )
    assert talk(second, script=Script("done")).output == "done"
    assert [name for name, _, _ in second.called] == ["b"]


def test_an_answer_that_was_cut_off_is_asked_for_again(talk):
    cut = ModelResponse(
        parts=[ToolCallPart("a", '{"text": "half of')], finish_reason="length"
    )
    host = ScriptedHost(tools={"a": lambda: 1})
    memory = attempt(talk, host, Script(cut, crash()))

    script = Script("whole")
    talk(ScriptedHost(tools={"a": never}, memory=memory), script=script)
    assert len(script.asked[0][0]) == 1


@pytest.mark.parametrize("junk", [[{"kind": "nonsense"}], ["text"], [None]])
def test_a_record_that_nobody_can_read_is_no_record(talk, junk):
    script = Script("anew")
    host = ScriptedHost(memory=Memory(messages=junk))

    assert talk(host, script=script).output == "anew"
    assert len(script.asked[0][0]) == 1
