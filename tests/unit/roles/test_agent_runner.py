from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from roles.runners.agent import models as agent_models
from roles.runners.agent.alone import named

ANSWER = {
    "type": "object",
    "properties": {"verdict": {"enum": ["yes", "no"]}},
    "required": ["verdict"],
}


class Script:
    """What the model answers, one after the other, and what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def __call__(self, messages, info):
        self.asked.append((messages, info))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return ModelResponse(parts=[TextPart(answer)])
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])

    @property
    def message(self):
        return self.asked[0][0][0].parts[0].content


@pytest.fixture
def scripted(monkeypatch):
    def use(*answers):
        script = Script(*answers)
        monkeypatch.setattr(models, "infer_model", lambda name: FunctionModel(script))
        return script

    return use


def test_the_prompt_instructs_and_the_input_is_the_message(scripted, ask):
    script = scripted("Bonjour")

    result = ask(
        {"text": "Hello", "to": "French"},
        base_prompt='Translate to {{ input.to }}, not {{to}} or {"a": 1}.',
        config={"temperature": 0.2, "max_tokens": 50},
    )

    assert result.output == "Bonjour"
    ((_, info),) = script.asked
    assert info.instructions == 'Translate to French, not {{to}} or {"a": 1}.'
    assert script.message == '{"text":"Hello","to":"French"}'
    assert 0 < info.model_settings.pop("timeout") <= 30
    assert info.model_settings == {
        "max_retries": 0,
        "temperature": 0.2,
        "max_tokens": 50,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [("plain", "plain"), ([1, "é"], '[1,"é"]'), (None, "Please begin."), (0, "0")],
)
def test_the_message_is_text_or_json(scripted, ask, given, message):
    script = scripted("ok")
    ask(given)

    assert script.message == message


def test_usage_counts_requests_and_tokens(scripted, ask):
    scripted("four words of text")
    usage = ask("hi").usage

    assert usage["requests"] == 1
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["model"] == "test:scripted"


def test_a_schema_makes_the_answer_an_object(scripted, ask):
    script = scripted({"verdict": "yes"})

    assert ask("is it?", output_schema=ANSWER).output == {"verdict": "yes"}
    tool = script.asked[0][1].output_tools[0]
    assert tool.parameters_json_schema["properties"] == ANSWER["properties"]
    assert "title" not in ANSWER, "the role's own schema was changed"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {
                "type": "array",
                "items": {"$ref": "#/$defs/n"},
                "$defs": {"n": {"type": "integer"}},
            },
            [1, 2],
        ),
        ({"enum": ["a", "b"]}, "b"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
    ],
)
def test_a_schema_of_another_type_is_wrapped_for_the_model(
    scripted, ask, schema, value
):
    scripted({"result": value})

    assert ask("x", output_schema=schema).output == value


def test_a_wrong_answer_may_be_repaired_once(scripted, ask):
    script = scripted({"verdict": "maybe"}, {"verdict": "no"})

    result = ask("is it?", output_schema=ANSWER)

    assert result.output == {"verdict": "no"}
    assert result.usage["requests"] == 2
    assert "/verdict: 'maybe' is not one of" in str(script.asked[1][0])


def test_a_second_wrong_answer_fails_the_step(scripted, ask_fails):
    script = scripted({"verdict": "maybe"}, {"verdict": 5}, {"verdict": "no"})

    error = ask_fails("is it?", output_schema=ANSWER)

    assert error.type == "output_schema_mismatch"
    assert "/verdict: 5 is not one of" in error.message
    assert error.retryable
    assert len(script.asked) == 2


def test_text_instead_of_an_object_is_asked_for_once_more(scripted, ask_fails):
    script = scripted("yes", "yes", "yes")

    error = ask_fails("is it?", output_schema=ANSWER)

    assert (error.type, error.retryable) == ("bad_model_answer", True)
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    "node",
    [
        {"properties": {"next": {"$ref": "#/$defs/node"}}},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema.json"},
    ],
)
def test_a_schema_that_models_cannot_be_bound_to_is_named(scripted, ask_fails, node):
    script = scripted({})
    schema = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/node"}},
        "$defs": {"node": node},
    }
    error = ask_fails("x", output_schema=schema)

    assert (error.type, error.retryable) == ("agent_misconfigured", False)
    assert "cannot be bound to the role's output schema" in error.message
    assert not script.asked


def test_a_schema_that_unfolds_without_end_is_refused(scripted, ask_fails):
    scripted({})
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {}}
    for level in range(30):
        below = {"$ref": f"#/$defs/{level + 1}"}
        schema["$defs"][str(level)] = {"properties": {"a": below, "b": below}}
    schema["$defs"]["30"] = {"type": "integer"}

    assert ask_fails("x", output_schema=schema).type == "agent_misconfigured"


def test_a_prompt_that_leads_nowhere_asks_nobody(scripted, ask_fails):
    script = scripted("never")
    error = ask_fails({"name": 1}, base_prompt="Hello {{ input.nmae }}")

    assert error.type == "template_error"
    assert "did you mean `name`" in error.message
    assert not script.asked


@pytest.mark.parametrize(
    ("failure", "type_", "retryable", "pause"),
    [
        (ModelHTTPError(418, "m"), "model_failed", False, None),
        (
            ModelHTTPError(409, "m", headers={"Retry-After": "3"}),
            "model_failed",
            True,
            3,
        ),
        (ModelHTTPError(599, "m"), "model_failed", True, None),
        (ModelConnectionError("m", "reset"), "model_connection", True, None),
        (ModelAPIError("m", "odd"), "bad_model_answer", True, None),
        (ContentFilterError("no"), "content_filtered", False, None),
        (UsageLimitExceeded("enough"), "usage_limit", False, None),
        (UserError("wrong"), "agent_misconfigured", False, None),
    ],
)
def test_failures_are_classified(scripted, ask_fails, failure, type_, retryable, pause):
    scripted(failure)
    error = ask_fails("x")

    assert (error.type, error.retryable) == (type_, retryable)
    assert error.retry_after_s == pause


def test_a_failure_inside_the_library_is_left_to_the_engine(scripted, ask):
    scripted(ZeroDivisionError("bug"))

    with pytest.raises(ZeroDivisionError):
        ask("x")


def test_a_slow_model_ends_with_the_deadline(monkeypatch, ask_fails):
    async def sleep(messages, info):
        await asyncio.sleep(10)

    monkeypatch.setattr(models, "infer_model", lambda name: FunctionModel(sleep))
    error = ask_fails("x", seconds=0.2)

    assert (error.type, error.retryable) == ("model_timeout", True)


def test_each_event_loop_has_its_own_models_which_take_turns(scripted):
    scripted("a", "b", "c")

    async def call():
        twice = range(2 * agent_models.CLIENTS)
        return [await agent_models.get(named("test:scripted")) for _ in twice]

    first, second = asyncio.run(call()), asyncio.run(call())

    assert [id(each) for each in first] == 2 * [id(each) for each in first[:8]]
    assert len({id(each) for each in first + second}) == 2 * agent_models.CLIENTS
