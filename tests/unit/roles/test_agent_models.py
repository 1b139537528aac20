from __future__ import annotations

import pytest

from roles.runners import agent
from roles.runners.agent import AgentRunner

pytestmark = pytest.mark.usefixtures("offline")

runner = AgentRunner()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai:gpt-5", "environment variable OPENAI_API_KEY"),
        ("openai-chat:gpt-5", "environment variable OPENAI_API_KEY"),
        ("mistral:large", "not part of this installation"),
        ("nowhere:model", "Unknown model"),
        ("gpt-5", "`provider:name`"),
        ("demo:singer", "There is no demo model 'singer'"),
    ],
)
def test_a_model_that_is_not_configured_says_what_to_set(ask_fails, name, words):
    error = ask_fails("x", model_constraints={"model": name})

    assert (error.type, error.retryable) == ("model_not_configured", False)
    assert words in error.message


@pytest.mark.parametrize(
    ("constraints", "used"),
    [
        ({"model": "a:b"}, "a:b"),
        ({"pinned": "c:d"}, "c:d"),
        ({"model": "a:b", "pinned": "c:d"}, "a:b"),
        ({"pinned": True}, "demo:writer"),
        ({"model": " "}, "demo:writer"),
        ({}, "demo:writer"),
    ],
)
def test_the_roles_model_comes_before_the_configured_one(role, constraints, used):
    agent.configure(default_model="demo:writer")

    assert agent.model_of(role("agent", model_constraints=constraints)) == used


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"base_prompt": "{{ context.a }}"}, "/base_prompt", "must begin with `input`"),
        ({"base_prompt": "{{ input.a | x }}"}, "/base_prompt", "not a path"),
        ({"config": {"temperature": 3}}, "/config/temperature", "0 to 2"),
        ({"config": {"temperature": True}}, "/config/temperature", "0 to 2"),
        ({"config": {"max_tokens": 0}}, "/config/max_tokens", "above zero"),
        ({"config": {"max_tokens": 1.5}}, "/config/max_tokens", "integer"),
        ({"config": {"model": "a:b"}}, "/config/model", "`temperature`"),
        (
            {"model_constraints": {"model": "gpt"}},
            "/model_constraints/model",
            "provider",
        ),
        ({"model_constraints": {"pinned": 5}}, "/model_constraints/pinned", "provider"),
        (
            {"model_constraints": {"model": "demo:x"}},
            "/model_constraints/model",
            "`demo:echo` and `demo:writer`",
        ),
    ],
)
def test_problems_name_their_place(role, fields, pointer, words):
    ((place, sentence),) = runner.problems(role("agent", **fields))

    assert place == pointer
    assert words in sentence


def test_a_good_role_has_no_problems(role):
    spec = role(
        "agent",
        base_prompt="Hi {{ input.name }} and {{name}}",
        config={"temperature": 0, "max_tokens": 10},
        model_constraints={"model": "openai:gpt-5"},
    )

    assert not runner.problems(spec)
    assert runner.pool(spec) == "io"
