from __future__ import annotations

import pytest

from roles.runners import RunnerError
from roles.runners.schemas import check_input, check_output, mismatch, schema_problems


def test_a_value_that_fits_passes(role):
    schema = {"type": "object", "required": ["a"]}
    spec = role(input_schema=schema, output_schema=schema)

    check_input(spec, {"a": 1})
    check_output(spec, {"a": 1})


@pytest.mark.parametrize("schema", [None, {}])
def test_without_a_schema_everything_fits(role, schema):
    check_input(role(input_schema=schema), object())
    check_output(role(output_schema=schema), object())


def test_a_misfit_is_named_by_its_place(role):
    schema = {"properties": {"a/b": {"items": {"type": "integer"}}}}

    with pytest.raises(RunnerError, match="/a~1b/1: 'x' is not of type") as caught:
        check_output(role(output_schema=schema), {"a/b": [1, "x"]})

    assert caught.value.type == "output_schema_mismatch"
    assert not caught.value.retryable


def test_an_input_misfit_has_its_own_type(role):
    with pytest.raises(RunnerError) as caught:
        check_input(role(input_schema={"required": ["q"]}), {})

    assert caught.value.type == "input_schema_mismatch"


def test_a_huge_value_does_not_fill_the_message():
    assert len(mismatch("x" * 10_000, {"type": "integer"})) < 400


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "nonsense"},
        {"enum": 3},
        {"pattern": "("},
        {"pattern": "(?=look)ahead"},
        {"pattern": "a" * 2000},
    ],
)
def test_an_unusable_schema_is_an_error_not_a_crash(schema):
    with pytest.raises(RunnerError) as caught:
        mismatch("text", schema)

    assert caught.value.type == "output_schema_invalid"
    assert not caught.value.retryable


def test_hostile_patterns_run_in_linear_time():
    hostile = "a" * 50_000 + "!"

    assert mismatch(hostile, {"pattern": "^(a+)+$"})
    assert not mismatch({hostile: 1}, {"patternProperties": {"^(a+)+$": False}})
    assert mismatch(
        {hostile: 1},
        {"patternProperties": {"^(a+)+$": True}, "additionalProperties": False},
    )


def test_pattern_properties_are_checked_and_let_through():
    schema = {
        "properties": {"id": True},
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    }

    assert mismatch({"id": 1, "x_a": 1, "more": "text"}, schema) is None
    assert mismatch({"x_a": "1"}, schema).startswith("/x_a: ")
    assert mismatch({"more": 1}, schema).startswith("/more: ")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ([], "/output_schema"),
        ({"type": "nonsense"}, "/output_schema/type"),
        (
            {"properties": {"a": {"minimum": "1"}}},
            "/output_schema/properties/a/minimum",
        ),
        ({"items": {"pattern": "("}}, "/output_schema/items/pattern"),
        ({"patternProperties": {"(": {}}}, "/output_schema/patternProperties/("),
    ],
)
def test_problems_of_a_schema_name_their_place(schema, place):
    ((found, sentence),) = schema_problems(schema, "/output_schema")

    assert found == place
    assert sentence


def test_a_pattern_inside_data_is_no_pattern():
    schema = {"type": "object", "default": {"pattern": "("}, "pattern": "^a"}

    assert not schema_problems(schema, "/output_schema")
