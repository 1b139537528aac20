"""Schemas are self-contained and bounded, and so is holding a value against one."""

from __future__ import annotations

from typing import Any

import pytest

from roles.schemas import check, schema_problems, value_problems

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def all_of(rules: Any) -> dict[str, Any]:
    return {"$defs": {"x": rules}, "allOf": [{"$ref": "#/$defs/x"}] * 1_000}


def bomb(keyword: str) -> dict[str, Any]:
    steps = {f"d{i}": {keyword: [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    return {"$defs": steps | {"d40": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "pointer", "code"),
    [
        (None, "", "wrong_type"),
        (True, "", "wrong_type"),
        ([], "", "wrong_type"),
        ({"type": "strng"}, "/type", "invalid_schema"),
        ({"type": {}}, "/type", "invalid_schema"),
        ({"properties": []}, "/properties", "invalid_schema"),
        ({"properties": {"a": 5}}, "/properties/a", "invalid_schema"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum", "invalid_schema"),
        ({"definitions": {"a": {"minimum": "1"}}}, "/definitions/a/minimum", "invalid_schema"),
        ({"required": ["a", "a"]}, "/required", "invalid_schema"),
        ({"$schema": 5}, "/$schema", "invalid_schema"),
        ({"$id": "x#y"}, "/$id", "invalid_schema"),
        ({"$anchor": "a b"}, "/$anchor", "invalid_schema"),
        ({"$ref": "https://example.com/x"}, "/$ref", "remote_reference"),
        ({"$ref": "file:///etc/passwd"}, "/$ref", "remote_reference"),
        ({"items": {"$ref": "other.json"}}, "/items/$ref", "remote_reference"),
        ({"items": {"$dynamicRef": "other.json"}}, "/items/$dynamicRef", "remote_reference"),
        ({"definitions": {"a": {"$ref": "x.json"}}}, "/definitions/a/$ref", "remote_reference"),
        ({"$ref": "#/$defs/none"}, "/$ref", "unknown_reference"),
        ({"$ref": "#anchor"}, "/$ref", "unknown_reference"),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "/$ref", "unknown_reference"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "unsupported_keyword"),
        ({"not": {"$schema": DIALECT}}, "/not/$schema", "unsupported_keyword"),
        ({"not": {"$id": "http://x"}}, "/not/$id", "unsupported_keyword"),
        ({"pattern": "("}, "/pattern", "invalid_pattern"),
        ({"items": {"pattern": "("}}, "/items/pattern", "invalid_pattern"),
        ({"pattern": "(?=a)"}, "/pattern", "invalid_pattern"),
        ({"pattern": "a" * 1_001}, "/pattern", "invalid_pattern"),
        ({"patternProperties": {"(": {}}}, "/patternProperties/(", "invalid_pattern"),
        ({"$ref": "#"}, "", "endless_schema"),
        ({"allOf": [{"$ref": "#"}]}, "", "endless_schema"),
        ({"const": "x" * 100_000}, "", "too_long"),
        ({"const": "\0"}, "/const", "nul_character"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used(schema: object, pointer: str, code: str) -> None:
    problems = schema_problems(schema, "/output_schema")
    assert [each.code for each in problems] == [code]
    assert problems[0].pointer == f"/output_schema{pointer}"
    assert problems[0].detail


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": DIALECT, "$id": "x:y"},
        {"$schema": DIALECT + "#"},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"const": "("}}},
        {"properties": {"$schema": {"type": "string"}, "$id": {}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"$anchor": "b"}}, "$ref": "#b"},
        {"$defs": {"a": {"$dynamicAnchor": "b"}}, "$dynamicRef": "#b"},
        {"definitions": {"a b": {}}, "$ref": "#/definitions/a%20b"},
        {"enum": [{"$ref": "http://x"}]},
        {"type": "object", "default": {"pattern": "("}, "pattern": "^a"},
        {"unevaluatedProperties": False, "patternProperties": {}},
    ],
)
def test_a_schema_that_can_be_used(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "code"),
    [
        ({"type": "object"}, [], "/input", "wrong_type"),
        ({"required": ["a"]}, {}, "/input", "required"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "/input", "required"),
        ({"items": {"type": "integer"}}, [1, True], "/input/1", "wrong_type"),
        ({"properties": {"a/b": {"enum": [1]}}}, {"a/b": 2}, "/input/a~1b", "invalid_value"),
        ({"properties": {"ab": {}}, "additionalProperties": False}, {"ba": 1}, "/input/ba", "unknown_field"),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, "/input/a", "wrong_type"),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"ab": 1}, "/input/ab", "wrong_type"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"ab": 1, "b": 1}, "/input/b", "unknown_field"),
        ({"allOf": [{"patternProperties": {"^a": {}}}], "unevaluatedProperties": False}, {"ab": 1, "b": 1}, "/input/b", "unknown_field"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "/input", "invalid_value"),
        ({"pattern": "^a$"}, "b", "/input", "invalid_value"),
        ({"uniqueItems": True}, [1, {"a": 1, "b": 2}, {"b": 2, "a": 1.0}], "/input", "invalid_value"),
        ({"multipleOf": 0.1}, 1e308, "/input", "invalid_value"),
        ({"enum": [1, "1"]}, True, "/input", "invalid_value"),
        ({"const": [1]}, [True], "/input", "invalid_value"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "/input", "invalid_value"),
        ({"not": {}}, 1, "/input", "invalid_value"),
        ({"properties": {"a": False}}, {"a": 1}, "/input/a", "invalid_value"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(
    schema: dict[str, Any], value: object, pointer: str, code: str
) -> None:
    problems = value_problems(schema, value, "/input")
    assert [(each.pointer, each.code) for each in problems] == [(pointer, code)]


@pytest.mark.parametrize(
    ("schema", "value", "detail"),
    [
        ({"type": ["string", "null"]}, 1, "This must be of type string or null, not a number."),
        ({"enum": ["a", 2, True]}, "b", "'b' is not one of 'a', 2, true."),
        ({"const": None}, [], "This must be null, not a list."),
        ({"minLength": 3}, "ab", "This has 2 characters; it needs at least 3."),
        ({"maxItems": 1}, [1, 2], "This has 2 items; it may have at most 1."),
        ({"minimum": 5}, 4, "4 is less than 5."),
        ({"properties": {"colour": {}}, "additionalProperties": False}, {"color": 1}, "'color' is not a field of this object. Did you mean 'colour'?"),
        ({"anyOf": [{"type": "null"}, False]}, 1, "This fits none of the 2 alternatives."),
        ({"oneOf": [{}, {}]}, 1, "This fits 2 of 2 alternatives; it must fit exactly one."),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "The name 'ab' does not fit: This has 2 characters; it may have at most 1."),
    ],
)  # fmt: skip
def test_a_misfit_says_what_is_wanted(
    schema: dict[str, Any], value: object, detail: str
) -> None:
    assert [each.detail for each in value_problems(schema, value)] == [detail]


def test_a_value_that_fits() -> None:
    assert value_problems(None, object()) == []
    items = {"$schema": DIALECT, "uniqueItems": True}
    assert value_problems(items, [1, True, "1", None]) == []
    assert value_problems({"pattern": "b"}, "abc") == []
    assert value_problems({"additionalProperties": False}, 5) == []


def test_misfits_are_bounded_in_number_and_length() -> None:
    problems = value_problems({"items": {"type": "integer"}}, ["x" * 10_000] * 1_000)
    assert len(problems) == 50
    assert max(len(problem.detail) for problem in problems) < 400


NUMBERS = list(range(2_000))
NAMES = {f"n{i}": i for i in range(2_000)}
FIELDS: dict[str, Any] = {f"n{i}": {} for i in range(2_000)}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (bomb("anyOf"), 1),
        (bomb("allOf"), "text"),
        (bomb("oneOf"), 1),
        (all_of({"items": {}}), NUMBERS),
        (all_of({"const": NUMBERS}), NUMBERS),
        (all_of({"enum": [NUMBERS]}), NUMBERS),
        (all_of({"items": {"enum": NUMBERS}}), NUMBERS),
        (all_of({"contains": {"type": "null"}, "minContains": 0}), NUMBERS),
        (all_of({"uniqueItems": True}), [NUMBERS]),
        (all_of({"prefixItems": [{}] * 500, "unevaluatedItems": True}), NUMBERS),
        (all_of({"additionalProperties": {}}), NAMES),
        (all_of({"propertyNames": {}}), NAMES),
        (all_of({"unevaluatedProperties": {}}), NAMES),
        (all_of({"patternProperties": {"x": False}}), NAMES),
        (all_of({"pattern": "a$"}), "a" * 10_000),
        (all_of({"required": ["a"] * 1_000, "not": {}}), {"a": 1}),
        (all_of({"additionalProperties": False, "properties": FIELDS}), FIELDS),
        ({"items": {"items": {"type": "integer"}}}, [NUMBERS] * 100),
        ({"additionalProperties": False}, {"x" * 10_000_000: 1}),
    ],
)
def test_a_check_that_takes_too_long_ends_with_a_problem(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], value: object
) -> None:
    monkeypatch.setattr(check, "MAX_STEPS", 50_000)
    assert [problem.code for problem in value_problems(schema, value)] == ["too_large"]


def test_a_schema_that_makes_checks_long_may_be_used() -> None:
    assert schema_problems(bomb("anyOf")) == []


def test_many_large_patterns_are_refused_together() -> None:
    letters = [{"pattern": rf"(\pL{{50}}){{2}}{i}"} for i in range(200)]
    refused = [{"pattern": rf"(\pL{{100}}){{10}}{i}"} for i in range(200)]
    assert schema_problems({"anyOf": letters[:3]}) == []
    for patterns in (letters, refused):
        (problem,) = schema_problems({"anyOf": patterns}, "/input_schema")
        assert (problem.pointer, problem.code) == ("/input_schema", "invalid_pattern")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/x"},
        {"$ref": "#/nope"},
        {"$ref": "#"},
        {"$ref": 5},
        {"properties": {"a": {"pattern": "("}}},
        {"patternProperties": {"(": {}}},
        {"properties": 5},
        {"required": 5},
        {"type": "strng"},
        {"type": [[]]},
        {"allOf": 5},
        {"minProperties": "5"},
        {"properties": {"a": "b"}},
        {"additionalProperties": 5},
    ],
)
def test_a_schema_that_was_never_checked_fails_without_raising(
    schema: dict[str, Any],
) -> None:
    assert len(value_problems(schema, {"a": "b"})) == 1


@pytest.mark.parametrize("schema", [{"pattern": "(a+)+$"}, {"pattern": "(a|aa)+$"}])
def test_patterns_take_linear_time(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []
    assert len(value_problems(schema, "a" * 100_000 + "!")) == 1


def test_many_unlike_items_are_compared_in_linear_time() -> None:
    items: list[Any] = [{"i": i} for i in range(20_000)]
    assert value_problems({"uniqueItems": True}, items) == []


def test_a_list_of_many_small_orders_is_within_the_bounds() -> None:
    order = {
        "type": "object",
        "required": ["id", "email"],
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "email": {"type": "string", "maxLength": 100},
            "tags": {"type": "array", "items": {"enum": ["new", "paid"]}},
        },
        "additionalProperties": False,
    }
    orders = [{"id": 1, "email": "a@example.com", "tags": ["new"]}] * 50_000
    assert value_problems({"type": "array", "items": order}, orders) == []
