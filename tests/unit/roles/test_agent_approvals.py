from __future__ import annotations

import pytest

from roles.runners import RunnerError
from roles.runners.hosting import Parked
from tests.unit.roles.agent_host import Script, ScriptedHost, calls

PAY = ("pay", {"amount": 5}, "c1")


def pay(amount=0):
    return {"paid": amount}


def look():
    return "seen"


def parked(talk, host, script, **fields):
    with pytest.raises(Parked) as caught:
        talk(host, script=script, **fields)
    return caught.value


def test_a_call_that_waits_for_a_person_parks_the_step(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    approval = {
        "prompt": "Pay this?",
        "users": ["ann"],
        "groups": ["cashiers"],
        "permission": "shop.pay",
        "timeout_ms": 5000,
    }
    waits = parked(talk, host, Script(calls(PAY)), config={"approval": approval})

    question = waits.question
    assert (waits.kind, waits.after_s) == ("approval", None)
    assert question.prompt == "Pay this?"
    assert list(question.calls) == [
        {"call_id": "c1", "tool": "pay", "arguments": {"amount": 5}}
    ]
    assert (question.users, question.groups) == (("ann",), ("cashiers",))
    assert (question.permission, question.timeout_ms) == ("shop.pay", 5000)
    assert not host.called
    assert len(host.messages) == 2, "the answer is not on record"
    assert not host.open


@pytest.mark.parametrize("pattern", ["system.pay", "system.*", "system_pay", "*"])
def test_a_role_may_ask_for_approvals_of_its_own(talk, pattern):
    host = ScriptedHost(tools={"system.pay": pay})
    config = {"approval": {"tools": [pattern]}}
    script = Script(calls(("system_pay", {}, "c1")))

    waits = parked(talk, host, script, config=config)
    assert waits.question.calls[0]["tool"] == "system.pay"
    assert waits.question.prompt


def test_an_approved_call_is_made_once(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    parked(talk, host, Script(calls(PAY)))

    later = ScriptedHost(
        tools={"pay": pay}, awaited=("pay",), memory=host.next_memory(c1=True)
    )
    script = Script("paid")
    assert talk(later, script=script).output == "paid"
    assert later.called == [("pay", "c1", {"amount": 5})]
    assert len(script.asked) == 1


def test_a_refused_call_is_told_to_the_model_and_not_made(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    parked(talk, host, Script(calls(PAY)))

    later = ScriptedHost(
        tools={"pay": pay}, awaited=("pay",), memory=host.next_memory(c1=False)
    )
    script = Script("as you wish")
    assert talk(later, script=script).output == "as you wish"
    assert not later.called
    assert "A person refused this call." in script.told()


def test_calls_beside_it_are_made_at_once_and_not_again(talk):
    host = ScriptedHost(tools={"pay": pay, "look": look}, awaited=("pay",))
    waits = parked(talk, host, Script(calls("look", PAY)))
    assert [name for name, _, _ in host.called] == ["look"]
    assert len(waits.question.calls) == 1

    later = ScriptedHost(
        tools={"pay": pay, "look": look},
        awaited=("pay",),
        memory=host.next_memory(c1=True),
    )
    script = Script("done")
    talk(later, script=script)

    assert [name for name, _, _ in later.called] == ["pay"]
    assert "seen" in script.told()
    assert "'paid': 5" in script.told()


def test_several_calls_are_one_question_with_an_answer_each(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    both = calls(PAY, ("pay", {"amount": 9}, "c2"))
    waits = parked(talk, host, Script(both))
    assert [call["call_id"] for call in waits.question.calls] == ["c1", "c2"]

    later = ScriptedHost(
        tools={"pay": pay},
        awaited=("pay",),
        memory=host.next_memory(c1=False, c2=True),
    )
    talk(later, script=Script("done"))
    assert later.called == [("pay", "c2", {"amount": 9})]


def test_a_call_without_a_decision_parks_again_and_asks_no_model(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    parked(talk, host, Script(calls(PAY)))

    later = ScriptedHost(
        tools={"pay": pay}, awaited=("pay",), memory=host.next_memory()
    )
    script = Script("never")
    assert parked(talk, later, script).question.calls[0]["call_id"] == "c1"
    assert not script.asked


def test_what_was_done_needs_no_decision_again(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    parked(talk, host, Script(calls(PAY)))
    host.results["c1"] = {"paid": 5}

    later = ScriptedHost(
        tools={"pay": pay}, awaited=("pay",), memory=host.next_memory()
    )
    assert talk(later, script=Script("done")).output == "done"
    assert not later.called


def test_a_later_call_asks_again(talk):
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    parked(talk, host, Script(calls(PAY)))
    later = ScriptedHost(
        tools={"pay": pay}, awaited=("pay",), memory=host.next_memory(c1=True)
    )
    again = calls(("pay", {"amount": 100}, "c2"))

    waits = parked(talk, later, Script(again))
    assert [call["call_id"] for call in waits.question.calls] == ["c2"]
    assert len(later.called) == 1


def test_a_structured_answer_is_still_checked_beside_approvals(talk):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    host = ScriptedHost(tools={"pay": pay}, awaited=("pay",))
    with pytest.raises(RunnerError) as caught:
        talk(host, script=Script({"n": "x"}, {"n": "y"}), output_schema=schema)
    assert caught.value.type == "output_schema_mismatch"

    waits = parked(talk, host, Script(calls(PAY)), output_schema=schema)
    assert waits.kind == "approval"
