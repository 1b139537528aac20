from __future__ import annotations

import asyncio

import pytest

from roles.runners import codemode
from roles.runners.hosting import Memory, Parked, Refusal
from tests.unit.roles.agent_host import Script, ScriptedHost, calls

CODE_MODE = {"code_mode": True}


@pytest.fixture
def talk(talk, monkeypatch):
    """Give each test a sandbox of its own: its pool belongs to an event loop."""
    ask = asyncio.run

    def run(main):
        async def tidily():
            try:
                return await main
            finally:
                await codemode.close()

        return ask(tidily())

    monkeypatch.setattr(asyncio, "run", run)
    return talk


def program(code, call_id="c1"):
    return calls(("run_code", {"code": code}, call_id))


def test_the_model_has_one_tool_that_describes_the_others(talk):
    host = ScriptedHost(tools={"system.add": lambda a: a})
    script = Script("ok")
    talk(host, script=script, config=CODE_MODE)

    (tool,) = script.asked[0][1].function_tools
    assert tool.name == "run_code"
    assert "async def add" in tool.description
    assert "Does system.add." in tool.description


def test_a_program_calls_tools_through_the_host(talk):
    host = ScriptedHost(tools={"system.add": lambda a, b: a + b})
    code = "x = await system.add(input={'a': 2, 'b': 3})\nprint('sum', x)\nx * 2"
    script = Script(program(code), "ten")
    result = talk(host, script=script, config=CODE_MODE)

    assert result.output == "ten"
    ((name, call_id, arguments),) = host.called
    assert (name, arguments) == ("system.add", {"a": 2, "b": 3})
    assert call_id.startswith("c1:")
    assert "'result': 10" in script.told()
    assert "sum 5" in script.told()


def test_a_program_and_what_came_of_it_are_kept(talk):
    host = ScriptedHost(tools={"system.add": lambda a, b: a + b})
    code = "print('hello')\n1 + 1"
    talk(host, script=Script(program(code), "ok"), config=CODE_MODE)

    ((kind, call_id, data),) = host.kept
    assert (kind, call_id) == ("code", "c1")
    assert data["program"] == code
    assert data["output"].strip() == "hello"
    assert (data["result"], data["error"], data["calls"]) == (2, None, [])
    assert data["duration_ms"] >= 0


def test_a_failing_program_is_read_by_the_model(talk):
    host = ScriptedHost()
    script = Script(program("1 / 0"), "oh")

    assert talk(host, script=script, config=CODE_MODE).output == "oh"
    assert "ZeroDivisionError" in script.told()
    assert host.kept[0][2]["error"]["type"] == "ZeroDivisionError"


def test_a_refusal_is_an_error_of_the_program(talk):
    def refuse():
        raise Refusal("Not on a Monday.")

    host = ScriptedHost(tools={"system.gone": refuse})
    script = Script(program("await system.gone(input={})"), "oh")
    talk(host, script=script, config=CODE_MODE)

    assert "Not on a Monday." in script.told()


def test_a_program_that_is_run_again_finds_what_it_had_done(talk):
    code = "a = await system.add(input={'a': 1})\nawait system.add(input={'a': 1})"
    host = ScriptedHost(tools={"system.add": lambda a: a})
    host.keep = None  # the attempt is lost before the program is on record
    with pytest.raises(TypeError):
        talk(host, script=Script(program(code)), config=CODE_MODE)
    assert len(host.called) == 2

    later = ScriptedHost(tools={"system.add": lambda a: a}, memory=host.next_memory())
    assert talk(later, script=Script("ok"), config=CODE_MODE).output == "ok"
    assert not later.called


def test_a_program_that_is_on_record_is_not_run_again(talk):
    host = ScriptedHost(tools={"system.add": lambda a: a})
    code = "await system.add(input={'a': 1})"
    with pytest.raises(IndexError):
        talk(host, script=Script(program(code)), config=CODE_MODE)
    memory = host.next_memory()
    kept = {**host.kept[0][2], "output": "from before"}
    done = Memory(messages=memory.messages, results={"c1": kept})

    later = ScriptedHost(tools={"system.add": lambda a: a}, memory=done)
    script = Script("ok")
    talk(later, script=script, config=CODE_MODE)
    assert "from before" in script.told()
    assert code not in script.told()
    assert not later.called
    assert not later.kept


def test_tools_that_wait_for_a_person_are_called_directly(talk):
    host = ScriptedHost(tools={"system.pay": lambda: 1}, awaited=("system.pay",))
    script = Script(program("await system.pay(input={})"), calls("system_pay"))
    with pytest.raises(Parked):
        talk(host, script=script, config=CODE_MODE)

    assert "call it directly" in script.told()
    assert not host.called


@pytest.mark.parametrize("arguments", [{}, {"code": 5}, {"program": "1"}])
def test_a_program_has_to_be_a_text(talk, arguments):
    script = Script(calls(("run_code", arguments, "c1")), "oh")
    talk(ScriptedHost(), script=script, config=CODE_MODE)

    assert "Give the program as `code`" in script.told()


def test_the_role_may_set_limits(talk):
    host = ScriptedHost(tools={"system.add": lambda a: a})
    code = "for n in range(5):\n    await system.add(input={'a': n})"
    config = {"code_mode": {"max_calls": 2, "max_seconds": 5, "max_memory_mb": 32}}
    script = Script(program(code), "oh")
    talk(host, script=script, config=config)

    assert len(host.called) == 2
    assert "error" in script.told()
