"""An execution's input is held against the orchestration's schema, by one door."""

from __future__ import annotations

from core_orchestration.validation import (
    check_input,
    schema_problems,
    storable_problems,
)


def test_without_a_schema_every_input_fits() -> None:
    assert check_input(None, object()) == []


def test_a_misfit_is_placed_below_the_input() -> None:
    (problem,) = check_input({"required": ["a"]}, {})
    assert (problem.pointer, problem.code) == ("/input", "required")


def test_the_pointer_may_start_elsewhere() -> None:
    (problem,) = check_input({"type": "string"}, 1, "/steps/0/output")
    assert problem.pointer == "/steps/0/output"


def test_schemas_and_storable_values_pass_through_the_same_door() -> None:
    (problem,) = schema_problems({"type": "strng"}, "/input_schema")
    assert (problem.pointer, problem.code) == ("/input_schema/type", "invalid_schema")
    assert storable_problems({"a": [1, "x", None, 0.5, True]}) == []
    (problem,) = storable_problems([float("nan")], "/output")
    assert (problem.pointer, problem.code) == ("/output/0", "not_a_number")
