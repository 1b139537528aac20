"""Schemas are self-contained and bounded, and so is holding a value against one."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.validation import (
    check_input,
    keywords,
    schema_problems,
    storable_problems,
)

BOMB: dict[str, Any] = {
    "$defs": {
        f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)
    }
    | {"d40": {"type": "string"}},
    "$ref": "#/$defs/d0",
}


@pytest.mark.parametrize(
    ("schema", "pointer", "code"),
    [
        (None, "", "wrong_type"),
        (True, "", "wrong_type"),
        ({"type": "strng"}, "/type", "invalid_schema"),
        ({"properties": []}, "/properties", "invalid_schema"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum", "invalid_schema"),
        ({"$ref": "https://example.com/x"}, "/$ref", "remote_reference"),
        ({"$ref": "file:///etc/passwd"}, "/$ref", "remote_reference"),
        ({"items": {"$ref": "other.json"}}, "/items/$ref", "remote_reference"),
        ({"$ref": "#/$defs/none"}, "/$ref", "unknown_reference"),
        ({"$ref": "#anchor"}, "/$ref", "unknown_reference"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "unsupported_keyword"),
        ({"not": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}, "/not/$schema", "unsupported_keyword"),
        ({"not": {"$id": "http://x"}}, "/not/$id", "unsupported_keyword"),
        ({"pattern": "("}, "/pattern", "invalid_pattern"),
        ({"pattern": "(?=a)"}, "/pattern", "invalid_pattern"),
        ({"patternProperties": {"(": {}}}, "/patternProperties/(", "invalid_pattern"),
        ({"unevaluatedProperties": False, "patternProperties": {}}, "/unevaluatedProperties", "unsupported_keyword"),
        ({"$ref": "#"}, "", "endless_schema"),
        ({"allOf": [{"$ref": "#"}]}, "", "endless_schema"),
        ({"const": "x" * 100_000}, "", "too_long"),
        ({"const": "\0"}, "/const", "nul_character"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used(schema: object, pointer: str, code: str) -> None:
    problems = [(each.pointer, each.code) for each in schema_problems(schema)]
    assert problems == [(pointer, code)]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x:y"},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"const": "("}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"$anchor": "b"}}, "$ref": "#b"},
        {"enum": [{"$ref": "http://x"}]},
    ],
)
def test_a_schema_that_can_be_used(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "code"),
    [
        ({"type": "object"}, [], "/input", "wrong_type"),
        ({"required": ["a"]}, {}, "/input", "required"),
        ({"items": {"type": "integer"}}, [1, True], "/input/1", "wrong_type"),
        ({"properties": {"a/b": {"enum": [1]}}}, {"a/b": 2}, "/input/a~1b", "invalid_value"),
        ({"properties": {"ab": {}}, "additionalProperties": False}, {"ba": 1}, "/input/ba", "unknown_field"),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, "/input/a", "wrong_type"),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"ab": 1}, "/input/ab", "wrong_type"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"ab": 1, "b": 1}, "/input/b", "unknown_field"),
        ({"pattern": "^a$"}, "b", "/input", "invalid_value"),
        ({"uniqueItems": True}, [1, {"a": 1, "b": 2}, {"b": 2, "a": 1.0}], "/input", "invalid_value"),
        ({"multipleOf": 0.1}, 1e308, "/input", "invalid_value"),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit(
    schema: dict[str, Any], value: object, pointer: str, code: str
) -> None:
    problems = [(each.pointer, each.code) for each in check_input(schema, value)]
    assert problems == [(pointer, code)]


def test_an_input_that_fits() -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    assert check_input(None, object()) == []
    assert check_input({**schema, "uniqueItems": True}, [1, True, "1", None]) == []
    assert check_input({"pattern": "b"}, "abc") == []
    assert check_input({"additionalProperties": False}, 5) == []


def test_misfits_are_bounded_in_number_and_length() -> None:
    problems = check_input({"items": {"type": "integer"}}, ["x" * 10_000] * 1_000)
    assert len(problems) == 50
    assert max(len(problem.detail) for problem in problems) < 400


def test_the_pointer_may_start_elsewhere() -> None:
    (problem,) = check_input({"type": "string"}, 1, "/steps/0/output")
    assert problem.pointer == "/steps/0/output"


def test_a_check_that_takes_too_long_ends_with_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keywords, "MAX_STEPS", 100_000)
    assert schema_problems(BOMB) == []
    assert [problem.code for problem in check_input(BOMB, 1)] == ["too_large"]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/x"},
        {"$ref": "#/nope"},
        {"$ref": "#"},
        {"properties": {"a": {"pattern": "("}}},
        {"patternProperties": {"(": {}}},
        {"properties": 5},
        {"required": 5},
        {"type": "strng"},
        {"allOf": 5},
        {"minProperties": "5"},
    ],
)
def test_a_schema_that_was_never_checked_fails_without_raising(
    schema: dict[str, Any],
) -> None:
    assert len(check_input(schema, {"a": "b"})) == 1


@pytest.mark.parametrize("schema", [{"pattern": "(a+)+$"}, {"pattern": "(a|aa)+$"}])
def test_patterns_take_linear_time(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []
    assert len(check_input(schema, "a" * 100_000 + "!")) == 1


def test_many_unlike_items_are_compared_in_linear_time() -> None:
    items: list[Any] = [{"i": i} for i in range(20_000)]
    assert check_input({"uniqueItems": True}, items) == []


def test_storable_values_pass_through_the_same_door() -> None:
    assert storable_problems({"a": [1, "x", None, 0.5, True]}) == []
    (problem,) = storable_problems([float("nan")], "/output")
    assert (problem.pointer, problem.code) == ("/output/0", "not_a_number")
