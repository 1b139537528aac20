"""What a role is given and gives back fits its schemas, or the step fails."""

from __future__ import annotations

import pytest

from roles.runners import RunnerError
from roles.runners.function import FunctionRunner
from roles.runners.http import HttpRunner
from roles.runners.schemas import check_input, check_output, mismatch


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

    with pytest.raises(RunnerError, match="/a~1b/1: This must be of type") as caught:
        check_output(role(output_schema=schema), {"a/b": [1, "x"]})

    assert caught.value.type == "output_schema_mismatch"
    assert not caught.value.retryable


def test_the_first_of_many_misfits_is_named_and_the_others_counted():
    assert mismatch(["x", 1, "y"], {"items": {"type": "integer"}}) == (
        "/0: This must be of type integer, not text. (1 more)"
    )


def test_an_input_misfit_has_its_own_type(role):
    with pytest.raises(RunnerError) as caught:
        check_input(role(input_schema={"required": ["q"]}), {})

    assert caught.value.type == "input_schema_mismatch"


def test_fixed_arguments_of_a_function_count_as_its_input(role):
    schema = {"required": ["a", "b"], "properties": {"a": {"type": "integer"}}}
    spec = role(
        config={"function": "f", "arguments": {"a": 1, "b": 2}}, input_schema=schema
    )
    runner = FunctionRunner()

    check_input(spec, runner.given(spec, None))
    check_input(spec, runner.given(spec, {"a": 3}))
    with pytest.raises(RunnerError, match="/a: "):
        check_input(spec, runner.given(spec, {"a": "text"}))


def test_other_runners_work_on_the_input_as_it_is(role):
    given = {"a": 1}
    spec = role(config={"arguments": {"b": 1}})

    assert HttpRunner().given(spec, given) is given
    assert FunctionRunner().given(role(config={"function": "f"}), given) is given


@pytest.mark.parametrize(
    "schema", [{"type": "integer"}, {"enum": ["y" * 10_000]}, {"pattern": "^y"}]
)
def test_a_huge_value_does_not_fill_the_message(schema):
    assert 0 < len(mismatch("x" * 10_000, schema) or "") < 400


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


@pytest.mark.parametrize("keyword", ["not", "if", "contains", "items"])
def test_a_schema_inside_cannot_switch_the_rules(keyword):
    inner = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = {keyword: {**inner, "items": {**inner, "pattern": "(?=only Python's)"}}}

    with pytest.raises(RunnerError, match="Look-around") as caught:
        mismatch([["text"]], {"allOf": [schema, {keyword: schema}], "items": schema})

    assert caught.value.type == "output_schema_invalid"


def test_pattern_properties_are_checked_and_let_through():
    schema = {
        "properties": {"id": True},
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    }

    assert mismatch({"id": 1, "x_a": 1, "more": "text"}, schema) is None
    assert str(mismatch({"x_a": "1"}, schema)).startswith("/x_a: ")
    assert str(mismatch({"more": 1}, schema)).startswith("/more: ")
