from __future__ import annotations

import pytest

from roles.runners import RunnerError
from roles.runners.agent import AgentRunner
from tests.unit.roles.agent_host import Script, ScriptedHost

runner = AgentRunner()

EVERYTHING = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 100,
    "seed": 7,
    "stop": ["END"],
    "thinking": "low",
    "parallel_tool_calls": False,
    "stream": True,
    "code_mode": {"max_seconds": 10, "max_calls": 5, "max_memory_mb": 64},
    "max_requests": 5,
    "max_tool_calls": 0,
    "max_total_tokens": 10_000,
    "max_repairs": 5,
    "approval": {
        "tools": ["system.*"],
        "users": ["ann"],
        "groups": ["cashiers"],
        "permission": "shop.pay",
        "timeout_ms": 1000,
        "prompt": "May it?",
    },
    "policy": {"anything": ["goes"]},
}


def test_everything_that_may_be_set_is_accepted(role):
    assert not runner.problems(role("agent", config=EVERYTHING))


@pytest.mark.parametrize("key", sorted(EVERYTHING))
def test_every_setting_refuses_what_it_is_not(role, key):
    ((place, sentence),) = runner.problems(role("agent", config={key: object()}))

    assert place == f"/config/{key}"
    assert sentence.startswith("Give ")


@pytest.mark.parametrize(
    ("config", "pointer", "words"),
    [
        ({"top_p": 0}, "/config/top_p", "above 0"),
        ({"seed": True}, "/config/seed", "an integer"),
        ({"stop": []}, "/config/stop", "1 to 16"),
        ({"stop": ["a", 5]}, "/config/stop/1", "1 to 16"),
        ({"thinking": "hard"}, "/config/thinking", "`xhigh`"),
        ({"code_mode": {"max_calls": 0}}, "/config/code_mode/max_calls", "1 to 10000"),
        ({"code_mode": {"cpu": 1}}, "/config/code_mode/cpu", "`max_memory_mb`"),
        ({"code_mode": 1}, "/config/code_mode", "an object of limits"),
        ({"max_requests": 0}, "/config/max_requests", "1 to 1000"),
        ({"max_repairs": 6}, "/config/max_repairs", "0 to 5"),
        ({"approval": {"tool": ["x"]}}, "/config/approval/tool", "An approval takes"),
        ({"approval": {"users": [1]}}, "/config/approval/users/0", "users' names"),
        ({"approval": {"timeout_ms": 0}}, "/config/approval/timeout_ms", "above zero"),
        ({"policy": []}, "/config/policy", "an object"),
        ({"a/b": 1}, "/config/a~1b", "An agent takes `approval`"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(role, config, pointer, words):
    ((place, sentence),) = runner.problems(role("agent", config=config))

    assert place == pointer
    assert words in sentence


def test_every_fault_is_named(role):
    config = {"temperature": 9, "max_repairs": -1, "modell": "x"}
    places = [place for place, _ in runner.problems(role("agent", config=config))]

    assert places == ["/config/temperature", "/config/max_repairs", "/config/modell"]


def test_a_role_that_was_never_checked_fails_with_the_same_words(talk):
    with pytest.raises(RunnerError) as caught:
        talk(ScriptedHost(), script=Script("never"), config={"temperature": 9})

    assert (caught.value.type, caught.value.retryable) == ("agent_misconfigured", False)
    assert "/config/temperature: Give a number from 0 to 2." in caught.value.message


def test_settings_reach_the_model(talk):
    script = Script("ok")
    config = {key: EVERYTHING[key] for key in ("top_p", "seed", "stop")}
    talk(ScriptedHost(), script=script, config=config)

    given = script.asked[0][1].model_settings
    assert (given["top_p"], given["seed"]) == (0.9, 7)
    assert given["stop_sequences"] == ["END"]
    assert given["max_retries"] == 0
    assert "temperature" not in given


def test_a_null_is_a_setting_left_out(role):
    assert not runner.problems(role("agent", config={"temperature": None}))
