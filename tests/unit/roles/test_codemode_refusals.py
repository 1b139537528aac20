"""Names that were not offered: refused, told in useful words, and passed on for audit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roles.runners.codemode import run_program
from roles.runners.hosting import Parked, Refusal
from tests.unit.roles.codemode_desk import Desk, failed, ran


@pytest.mark.parametrize(
    "program",
    [
        "await system.delete_role(name='x')",
        "await system.delete_role(name='x')  # type: ignore",
        "f = system.delete_role",
        "f = system.delete_role  # type: ignore",
        "import system as s\nawait s.delete_role()",
        "import system as s\nawait s.delete_role()  # type: ignore",
        "from system import delete_role",
        "from system import delete_role  # type: ignore",
        "getattr(system, 'delete_role')",
        "getattr(system, 'delete' + '_role')()",
        "x = system\nawait x.delete_role()",
    ],
)
def test_a_guessed_tool_is_refused_and_the_refusal_can_be_audited(program):
    desk = Desk()

    done = ran(program, desk)

    assert done.error is not None
    assert {name for name, _ in desk.asked} == {"system.delete_role"}
    assert {each["outcome"] for each in done.calls} == {"refused"}


@pytest.mark.parametrize(
    "program",
    [
        "try:\n    await getattr(system, 'delete_role')()\nexcept AttributeError: pass",
        "hasattr(system, 'delete_role')",
        "getattr(system, 'delete_role', None)",
    ],
)
def test_an_attempt_that_is_hidden_by_the_program_is_on_record(program):
    desk = Desk()

    done = ran(program, desk)

    assert done.error is None
    assert desk.asked == [("system.delete_role", {})]
    assert done.calls[0]["outcome"] == "refused"


def test_the_arguments_of_a_refused_call_are_passed_on():
    desk = Desk()

    ran("await system.delete_role(name='x')  # type: ignore", desk)

    assert desk.asked == [("system.delete_role", {"name": "x"})]


def test_what_was_not_offered_is_refused_even_if_somebody_would_do_it():
    async def anything(name: str, arguments: Any) -> Any:
        return "done"

    done = ran("await system.delete_role()  # type: ignore", anything)

    assert done.calls[0]["outcome"] == "refused"
    assert done.result is None


def test_without_any_tool_a_guess_is_refused_as_well():
    asked = []

    async def call(name: str, arguments: Any) -> Any:
        asked.append(name)
        raise Refusal("No.")

    done = asyncio.run(run_program("await tools.anything()", (), call))

    assert done.error is not None
    assert asked == ["tools.anything"]


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        ("system.create_orchestratoin(name='x')", "system.create_orchestration"),
        ("create_orchestration(name='x')", "system.create_orchestration"),
        ("system.text_upper(text='x')", "tools.function_text_upper"),
    ],
)
def test_the_nearest_tool_is_named(call, meant):
    _, message, line = failed(f"1\nawait {call}")

    assert f"Did you mean {meant}?" in message
    assert line == 2


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("await system.execute_orchestration()", "parameter `name`"),
        ("await system.execute_orchestration(name=1)", "Expected `str`"),
        ("await system.execute_orchestration(name='a', nam='b')", "`nam`"),
        ("await system.execute_orchestration('a', 1)", "positional"),
        ("await system.create_orchestration(name='a', steps='b')", "Expected"),
        ("system.execute_orchestration(name='a')", "Write await before the call."),
        ("x = system.execute_orchestration(name='a')\nx['id']", "subscript"),
        ("import requests", "Packages are not available."),
        ("unknown(1)", "`unknown`"),
    ],
)
def test_types_are_checked_before_anything_is_run(program, said):
    desk = Desk()

    done = ran(f"await system.execute_orchestration(name='first')\n{program}", desk)

    assert desk.asked == []
    assert done.error is not None
    assert done.error["type"] == "TypeCheckError"
    assert "was not run" in done.error["message"]
    assert said in done.error["message"]
    assert done.error["line"] in (2, 3)


@pytest.mark.parametrize(
    ("program", "line"), [("x = (", 1), ("x = 1\nif x\n  pass", 2), ("  x", 1)]
)
def test_a_fault_of_syntax_is_told_with_its_line(program, line):
    type_, _, found = failed(program)

    assert type_ == "SyntaxError"
    assert found in (line, line + 1)


@pytest.mark.parametrize(
    "program",
    ["def f():\n    yield 1\nf()", "x = [1]\ndel x[0]", "class A(ValueError): x = 1"],
)
def test_what_this_python_cannot_do_is_told_with_its_line(program):
    type_, message, line = failed(program)

    assert type_ in ("NotImplementedError", "SyntaxError", "TypeCheckError")
    assert line is not None
    assert "monty" not in message.lower()


def test_a_needless_comment_for_the_checker_does_no_harm():
    assert ran("x = 1  # type: ignore\nx").result == 1


@pytest.mark.parametrize("argument", ["{1, 2}", "system", "print", "b'x'"])
def test_arguments_that_are_no_json_are_refused_where_they_are_made(argument):
    desk = Desk()

    done = ran(f"await tools.http_weather({argument})", desk)

    if done.error is None:
        return  # the sandbox wrote it as text
    assert desk.asked == []
    assert done.error["type"] == "TypeError"
    assert done.calls[0]["outcome"] == "refused"


def test_parked_ends_the_program_and_is_passed_on():
    class Waits(Parked):
        pass

    desk = Desk(execute_orchestration=Waits("for a person", kind="approval"))
    program = """
try:
    await system.execute_orchestration(name="x")
except BaseException:
    await system.execute_orchestration(name="again")
"""

    with pytest.raises(Waits):
        ran(program, desk)
    assert len(desk.asked) == 1


def test_parked_among_gathered_calls_leaves_the_others():
    async def call(name: str, arguments: Any) -> Any:
        if arguments["name"] == "b":
            raise Parked("later", kind="budget")
        await asyncio.Event().wait()

    program = """
import asyncio
await asyncio.gather(
    system.execute_orchestration(name="a"), system.execute_orchestration(name="b")
)
"""

    with pytest.raises(Parked):
        ran(program, call, max_seconds=10)


def test_a_cancelled_call_is_passed_on():
    desk = Desk(execute_orchestration=asyncio.CancelledError())

    with pytest.raises(asyncio.CancelledError):
        ran("await system.execute_orchestration(name='x')", desk)
