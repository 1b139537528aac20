"""Every field of an orchestration and of a step is held to its type and range."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    ROLE_ID,
    details,
    found,
    orchestration,
    step,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_full_definition_has_no_problems() -> None:
    document = orchestration(
        {"name": "Fetch the news", "role_name": "reader", "max_retries": 3},
        step(
            "research",
            input_mapping={"q": "{{ context.input.q }}", "n": "{{ output }}"},
            output_mapping={"title": "{{ output.items.0.title }}"},
            on_error="continue",
            retry_backoff=2,
        ),
        step("left", step_type="parallel", parallel_group="g"),
        {"name": "Right", "role_id": ROLE_ID.upper(), "parallel_group": "g"},
        step(
            "last",
            step_type="conditional",
            condition={"field": "context.title", "operator": "exists"},
            input_mapping="{{ context.fetch_the_news }} {{ context.right }}",
        ),
        description="",
        tags=["a", "b"],
        is_active=False,
        input_schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"q": {"$ref": "#/$defs/text"}},
            "$defs": {"text": {"type": "string"}},
            "additionalProperties": False,
        },
        timeout_ms=1000,
        output={"all": "{{ context }}", "last": "{{ output }}"},
        id="1",
        version=3,
        created_at="2025-01-01T00:00:00Z",
        updated_at=None,
        created_by="ann",
    )
    assert found(document) == []


def test_the_smallest_definition_has_no_problems() -> None:
    assert found(orchestration({"name": "A", "role_name": "writer"})) == []


@pytest.mark.parametrize("document", [None, 1, "x", [], True])
def test_a_document_is_an_object(document: object) -> None:
    assert found(document) == [("", "wrong_type")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": 1}, ("/name", "wrong_type")),
        ({"name": None}, ("/name", "wrong_type")),
        ({"name": " "}, ("/name", "blank")),
        ({"name": "x" * 201}, ("/name", "too_long")),
        ({"description": None}, ("/description", "wrong_type")),
        ({"description": "x" * 10_001}, ("/description", "too_long")),
        ({"tags": "a"}, ("/tags", "wrong_type")),
        ({"tags": ["a", 1]}, ("/tags/1", "wrong_type")),
        ({"tags": ["a", ""]}, ("/tags/1", "blank")),
        ({"tags": ["x" * 101]}, ("/tags/0", "too_long")),
        ({"tags": ["a"] * 51}, ("/tags", "too_long")),
        ({"is_active": 1}, ("/is_active", "wrong_type")),
        ({"timeout_ms": 0}, ("/timeout_ms", "out_of_range")),
        ({"timeout_ms": 1.5}, ("/timeout_ms", "wrong_type")),
        ({"timeout_ms": True}, ("/timeout_ms", "wrong_type")),
        ({"timeout_ms": 366 * 86_400_000}, ("/timeout_ms", "out_of_range")),
        ({"input_schema": []}, ("/input_schema", "wrong_type")),
        ({"input_schema": {"type": "strng"}}, ("/input_schema/type", "invalid_schema")),
        ({"steps": None}, ("/steps", "wrong_type")),
        ({"steps": {}}, ("/steps", "wrong_type")),
        ({"steps": []}, ("/steps", "no_steps")),
        ({"nmae": "x"}, ("/nmae", "unknown_field")),
        ({"a/b~c": 1}, ("/a~1b~0c", "unknown_field")),
        ({"output": "{{"}, ("/output", "template_syntax")),
        ({"output": {"a": ["{{ }}"]}}, ("/output/a/0", "template_syntax")),
    ],
)
def test_fields_of_the_orchestration(
    fields: dict[str, Any], problem: tuple[str, str]
) -> None:
    assert found({**orchestration(step("a")), **fields}) == [problem]


@pytest.mark.parametrize("field", ["name", "steps"])
def test_required_fields_of_the_orchestration(field: str) -> None:
    document = orchestration(step("a"))
    del document[field]
    assert found(document) == [("", "required")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"key": 5}, ("/key", "wrong_type")),
        ({"key": ""}, ("/key", "blank")),
        ({"key": "A"}, ("/key", "invalid_key")),
        ({"key": "1a"}, ("/key", "invalid_key")),
        ({"key": "a-b"}, ("/key", "invalid_key")),
        ({"key": "a\n"}, ("/key", "invalid_key")),
        ({"key": "x" * 65}, ("/key", "invalid_key")),
        ({"key": "input"}, ("/key", "reserved_key")),
        ({"key": "errors"}, ("/key", "reserved_key")),
        ({"key": "output"}, ("/key", "reserved_key")),
        ({"key": "loop"}, ("/key", "reserved_key")),
        ({"key": "item"}, ("/key", "reserved_key")),
        ({"key": "index"}, ("/key", "reserved_key")),
        ({"name": ""}, ("/name", "blank")),
        ({"name": "x" * 201}, ("/name", "too_long")),
        ({"description": 1}, ("/description", "wrong_type")),
        ({"order": "1"}, ("/order", "wrong_type")),
        ({"order": True}, ("/order", "wrong_type")),
        ({"order": 10**30}, ("/order", "out_of_range")),
        ({"step_type": 1}, ("/step_type", "wrong_type")),
        ({"step_type": "sequental"}, ("/step_type", "unknown_step_type")),
        ({"parallel_group": 1}, ("/parallel_group", "wrong_type")),
        ({"parallel_group": ""}, ("/parallel_group", "blank")),
        ({"parallel_group": "g" * 65}, ("/parallel_group", "too_long")),
        ({"condition": []}, ("/condition", "wrong_type")),
        ({"condition": {}}, ("/condition", "invalid_condition")),
        ({"output_mapping": []}, ("/output_mapping", "wrong_type")),
        ({"output_mapping": "{{ output }}"}, ("/output_mapping", "wrong_type")),
        ({"output_mapping": {"a b": 1}}, ("/output_mapping/a b", "invalid_name")),
        ({"output_mapping": {"": 1}}, ("/output_mapping/", "invalid_name")),
        ({"output_mapping": {"input": 1}}, ("/output_mapping/input", "reserved_key")),
        ({"output_mapping": {"a": 1}}, ("/output_mapping/a", "duplicate_key")),
        ({"input_mapping": {"x": "{% x %}"}}, ("/input_mapping/x", "template_syntax")),
        ({"max_retries": -1}, ("/max_retries", "out_of_range")),
        ({"max_retries": 101}, ("/max_retries", "out_of_range")),
        ({"max_retries": 1.0}, ("/max_retries", "wrong_type")),
        ({"max_retries": None}, ("/max_retries", "wrong_type")),
        ({"retry_delay_ms": -1}, ("/retry_delay_ms", "out_of_range")),
        ({"retry_delay_ms": 31 * 86_400_000}, ("/retry_delay_ms", "out_of_range")),
        ({"retry_max_delay_ms": "1"}, ("/retry_max_delay_ms", "wrong_type")),
        ({"retry_backoff": 0.5}, ("/retry_backoff", "out_of_range")),
        ({"retry_backoff": 101}, ("/retry_backoff", "out_of_range")),
        ({"retry_backoff": True}, ("/retry_backoff", "wrong_type")),
        ({"retry_jitter": 1}, ("/retry_jitter", "wrong_type")),
        ({"timeout_ms": 0}, ("/timeout_ms", "out_of_range")),
        ({"timeout_ms": 8 * 86_400_000}, ("/timeout_ms", "out_of_range")),
        ({"total_timeout_ms": 0}, ("/total_timeout_ms", "out_of_range")),
        ({"total_timeout_ms": -1}, ("/total_timeout_ms", "out_of_range")),
        (
            {"total_timeout_ms": 366 * 86_400_000 + 1},
            ("/total_timeout_ms", "out_of_range"),
        ),
        ({"total_timeout_ms": 1.5}, ("/total_timeout_ms", "wrong_type")),
        ({"total_timeout_ms": True}, ("/total_timeout_ms", "wrong_type")),
        ({"total_timeout_ms": "1"}, ("/total_timeout_ms", "wrong_type")),
        ({"queue_timeout_ms": 0}, ("/queue_timeout_ms", "out_of_range")),
        ({"queue_timeout_ms": -1}, ("/queue_timeout_ms", "out_of_range")),
        (
            {"queue_timeout_ms": 366 * 86_400_000 + 1},
            ("/queue_timeout_ms", "out_of_range"),
        ),
        ({"queue_timeout_ms": 1.5}, ("/queue_timeout_ms", "wrong_type")),
        ({"queue_timeout_ms": True}, ("/queue_timeout_ms", "wrong_type")),
        ({"queue_timeout_ms": "1"}, ("/queue_timeout_ms", "wrong_type")),
        ({"at_most_once": 1}, ("/at_most_once", "wrong_type")),
        ({"at_most_once": "true"}, ("/at_most_once", "wrong_type")),
        ({"at_most_once": None}, ("/at_most_once", "wrong_type")),
        ({"on_error": "ignore"}, ("/on_error", "unknown_choice")),
        ({"on_error": ["fail"]}, ("/on_error", "unknown_choice")),
        ({"branch": 1}, ("/branch", "wrong_type")),
        ({"branch": "a"}, ("/branch", "unexpected_branch")),
        ({"config": None}, ("/config", "wrong_type")),
        ({"config": []}, ("/config", "wrong_type")),
        ({"steps": {}}, ("/steps", "wrong_type")),
        ({"role_nam": "x"}, ("/role_nam", "unknown_field")),
        ({"role_name": "writr"}, ("/role_name", "unknown_role")),
        ({"role_name": ""}, ("/role_name", "blank")),
        ({"role_name": 5}, ("/role_name", "wrong_type")),
        ({"role_id": ROLE_ID}, ("/role_id", "ambiguous_role")),
        ({"role_name": None}, ("", "missing_role")),
        ({"role_name": None, "role_id": "x"}, ("/role_id", "unknown_role")),
        ({"role_name": None, "role_id": "writer"}, ("/role_id", "unknown_role")),
        (
            {"role_name": None, "role_id": ROLE_ID[:-1] + "f"},
            ("/role_id", "unknown_role"),
        ),
    ],
)
def test_fields_of_a_step(fields: dict[str, Any], problem: tuple[str, str]) -> None:
    pointer, code = problem
    assert found(orchestration({**step("a"), **fields})) == [
        ("/steps/0" + pointer, code)
    ]


def test_null_means_none_where_none_is_the_default() -> None:
    nullable = (
        "role_id",
        "parallel_group",
        "condition",
        "input_mapping",
        "output_mapping",
        "total_timeout_ms",
        "queue_timeout_ms",
        "branch",
    )
    fields = dict.fromkeys(nullable)
    assert found(orchestration(step("a", name=None, **fields), output=None)) == []


@pytest.mark.parametrize("most", [1, 366 * 86_400_000])
def test_all_attempts_and_the_wait_for_a_worker_have_limits_of_their_own(
    most: int,
) -> None:
    limits = {"total_timeout_ms": most, "queue_timeout_ms": most, "at_most_once": True}
    assert found(orchestration(step("a", timeout_ms=1000, **limits))) == []


def test_a_step_needs_a_name_or_a_key() -> None:
    assert found(orchestration({"role_name": "writer"})) == [
        ("/steps/0", "missing_name")
    ]


@pytest.mark.parametrize("not_a_step", [None, 1, "a", [], True])
def test_a_step_is_an_object(not_a_step: object) -> None:
    assert found(orchestration(step("a"), not_a_step)) == [("/steps/1", "wrong_type")]


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        (orchestration(step("a"), tgas=[]), "'tags'"),
        (orchestration(step("a", role_name="raeder")), "'reader'"),
        (orchestration(step("a", step_type="Parallel")), "'parallel'"),
        (orchestration(step("a", timeout=1)), "'timeout_ms'"),
        (orchestration(step("a", role_name=None, role_id="writer")), "role_name"),
    ],
)
def test_the_nearest_name_is_suggested(document: object, hint: str) -> None:
    assert hint in details(document)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (math.nan, "not_a_number"),
        (-math.inf, "not_a_number"),
        ("a\0", "nul_character"),
        ("\ud800", "lone_surrogate"),
        (10**400, "number_too_large"),
        (object(), "not_json"),
        ({1: 2}, "not_json"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(
    value: object, code: str
) -> None:
    problems = found(orchestration(step("a", config={"x": [value]})))
    assert [each for each in problems if each[1] == code]
    assert all(pointer.startswith("/steps/0/config/x/0") for pointer, _ in problems)


def test_names_that_cannot_be_stored_are_written_so_that_they_can_be_sent() -> None:
    problems = found(orchestration(step("a", **{"\ud800": 1}), **{"x\0": 1}))
    assert {code for _, code in problems} == {"invalid_text", "unknown_field"}
    for pointer, _ in problems:
        assert "\0" not in pointer
        assert pointer.encode()


@pytest.mark.parametrize("depth", [51, 60, 100, 5_000])
@pytest.mark.parametrize(
    "field", ["config", "input_mapping", "output_mapping", "condition"]
)
def test_deep_nesting_in_a_step_is_refused(field: str, depth: int) -> None:
    value = {"all": nested(depth)} if field == "condition" else {"x": nested(depth)}
    problems = found(orchestration(step("a", **{field: value})))
    assert problems
    assert all(pointer.startswith(f"/steps/0/{field}") for pointer, _ in problems)


@pytest.mark.parametrize("depth", [51, 60, 100, 5_000])
@pytest.mark.parametrize("field", ["output", "input_schema", "x"])
def test_deep_nesting_in_the_orchestration_is_refused(field: str, depth: int) -> None:
    problems = found(orchestration(step("a"), **{field: {"not": nested(depth)}}))
    assert problems
    assert all(pointer.startswith(f"/{field}") for pointer, _ in problems)


def test_problems_are_bounded_in_number() -> None:
    problems = found(orchestration(*[{}] * 1_000))
    assert len(problems) == 1_001
    assert problems[-1] == ("", "too_many_problems")


def test_all_problems_come_at_once() -> None:
    document = orchestration(
        step("a", role_name="nobody", timeout_ms=0),
        step("a", step_type="loop", input_mapping="{{ context.zzz }}"),
        output="{{",
        nope=1,
    )
    assert set(found(document)) == {
        ("/nope", "unknown_field"),
        ("/output", "template_syntax"),
        ("/steps/0/role_name", "unknown_role"),
        ("/steps/0/timeout_ms", "out_of_range"),
        ("/steps/1", "empty_body"),
        ("/steps/1/config", "loop_without_limit"),
        ("/steps/1/input_mapping", "unknown_reference"),
        ("/steps/1/key", "duplicate_key"),
        ("/steps/1/role_name", "unexpected_role"),
    }
