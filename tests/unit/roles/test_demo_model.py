from __future__ import annotations

import asyncio

import pytest

from roles.runners import RunnerError
from roles.runners.agent import AgentRunner
from roles.runners.agent.demo_values import fill
from roles.runners.model_names import DEMO_FLAVOURS
from roles.runners.schemas import mismatch

COMPLAINT = "I was charged twice, refund please"
CATEGORY = {"enum": ["technical", "billing", "sales", "other"]}


@pytest.fixture
def ask(role, attempt):
    def run(given, flavour="echo", **fields):
        async def call():
            spec = role(
                "agent", model_constraints={"model": f"demo:{flavour}"}, **fields
            )
            return await AgentRunner().run(spec, given, attempt)

        return asyncio.run(call())

    return run


@pytest.mark.parametrize("flavour", DEMO_FLAVOURS)
def test_the_same_input_gives_the_same_text_marked_as_a_demo(ask, flavour):
    given = {"topic": "tea", "n": 3}
    first = ask(given, flavour, base_prompt="Write a summary. Be brief.")
    second = ask(given, flavour, base_prompt="Write a summary. Be brief.")

    assert first == second
    assert first.output.startswith("[demo] ")
    assert "tea" in first.output
    assert first.output != ask({"topic": "coffee"}, flavour).output


def test_echo_names_the_task_and_what_was_said(ask):
    answer = ask(
        {"text": "[demo] a\n b", "n": [1, None]}, base_prompt="Sum it up. Now."
    )

    assert answer.output == "[demo] Sum it up: a b / 1"


def test_a_long_input_is_cut(ask):
    assert len(ask("word " * 10_000).output) < 400


def test_a_schema_is_filled(ask):
    schema = {
        "type": "object",
        "properties": {"category": CATEGORY, "confidence": {"type": "number"}},
        "required": ["category", "confidence"],
    }
    output = ask({"message": COMPLAINT}, output_schema=schema).output

    assert output["category"] == "billing"
    assert 0.8 <= output["confidence"] <= 1


def test_a_pattern_that_the_demo_cannot_meet_fails_like_any_wrong_answer(ask):
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}$"}},
    }
    with pytest.raises(RunnerError) as caught:
        ask("x", output_schema=schema)

    assert caught.value.type == "output_schema_mismatch"


@pytest.mark.parametrize(
    ("options", "text", "choice"),
    [
        (["technical", "billing", "general"], COMPLAINT, "billing"),
        (
            ["billing_issue", "Technical Issue"],
            "The app crashes at login",
            "Technical Issue",
        ),
        (["positive", "negative", "neutral"], "I love it, thanks", "positive"),
        (["low", "medium", "high"], "Our site is down, urgent!", "high"),
        (["tea", "coffee"], "Coffee, no sugar", "coffee"),
        ([1, 2, 3], "number 2", 2),
    ],
)
def test_choices_follow_the_words_of_the_text(options, text, choice):
    if options == [1, 2, 3]:
        assert fill({"enum": options}, text) in options
    else:
        assert fill({"enum": options}, text) == choice


def test_a_text_that_says_nothing_still_gets_a_steady_choice():
    choices = {fill(CATEGORY, f"zzz {index}") for index in range(50)}

    assert fill(CATEGORY, "zzz") == fill(CATEGORY, "zzz")
    assert len(choices) > 1


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "string", "minLength": 300},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "email"},
        {"type": "string", "format": "date-time"},
        {"type": "integer"},
        {"type": "integer", "minimum": 5},
        {"type": "integer", "minimum": 5, "maximum": 5},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "minimum": 1, "multipleOf": 7},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
        {"type": "number"},
        {"type": "number", "minimum": 100},
        {"type": "number", "maximum": -100},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "number", "minimum": 0, "maximum": 10, "multipleOf": 0.5},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["null", "integer"]},
        {"const": {"a": [1]}},
        {"enum": [None, 1]},
        {"examples": ["x"], "type": "string"},
        {"type": "array"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 4},
        {"type": "array", "items": {"type": "string"}, "maxItems": 1},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        {"type": "object", "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"type": "object", "required": ["b"]}},
            "required": ["a", "c"],
            "additionalProperties": {"type": "integer"},
        },
        {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        {"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}},
        {
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "children": {
                            "type": "array",
                            "items": {"$ref": "#/$defs/node"},
                        },
                        "next": {"$ref": "#/$defs/node"},
                    },
                    "required": ["name"],
                }
            },
            "$ref": "#/$defs/node",
        },
    ],
)
def test_made_up_values_fit_their_schema(schema):
    value = fill(schema, COMPLAINT)

    assert mismatch(value, schema) is None
    assert fill(schema, COMPLAINT) == value


def test_reviews_are_kind():
    schema = {
        "properties": {
            "approved": {"type": "boolean"},
            "needs_escalation": {"type": "boolean"},
            "score": {"type": "integer", "minimum": 0, "maximum": 10},
            "quality": {"type": "number", "minimum": 0, "maximum": 1},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        }
    }

    assert fill(schema, "a draft") == {
        "approved": True,
        "needs_escalation": False,
        "score": 9,
        "quality": 0.9,
        "rating": 4,
    }
