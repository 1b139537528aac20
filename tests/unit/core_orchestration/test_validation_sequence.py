"""Steps must fit together: keys, groups, bodies, and references that can resolve."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    codes,
    details,
    found,
    loop,
    orchestration,
    step,
)

CLOSED = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "user": {
            "type": "object",
            "properties": {"name": {}},
            "additionalProperties": False,
        },
        "open": {"type": "object"},
    },
    "additionalProperties": False,
}


def test_duplicate_keys_are_refused_at_any_depth() -> None:
    problems = codes(step("a"), loop(step("a")), step("b"), step("b"))
    assert ("/steps/1/steps/0/key", "duplicate_key") in problems
    assert ("/steps/3/key", "duplicate_key") in problems


def test_steps_may_share_a_name() -> None:
    same = {"name": "Same", "role_name": "writer"}
    assert codes(same, same, {"key": "same", "role_name": "writer"}) == []


def test_output_names_must_not_hide_a_steps_output() -> None:
    steps = [step("a", output_mapping={"b": 1}), step("b")]
    assert codes(*steps) == [("/steps/0/output_mapping/b", "duplicate_key")]


def test_later_steps_may_write_a_name_again() -> None:
    again = {"total": "{{ context.total + 1 }}"}
    steps = [step("a", output_mapping={"total": 0}), step("b", output_mapping=again)]
    assert codes(*steps) == []


def test_steps_of_one_group_must_not_write_the_same_name() -> None:
    steps = [
        step("a", parallel_group="g", output_mapping={"x": 1}),
        step("b", parallel_group="g", output_mapping={"x": 2}),
    ]
    assert codes(*steps) == [("/steps/1/output_mapping/x", "duplicate_key")]


def test_a_group_split_by_another_step_is_refused() -> None:
    steps = [step("a", parallel_group="g"), step("b"), step("c", parallel_group="g")]
    assert codes(*steps) == [("/steps/2/parallel_group", "split_group")]


def test_a_group_split_by_order_is_refused_where_it_was_sent() -> None:
    steps = [
        step("a", parallel_group="g", order=3),
        step("b", parallel_group="g", order=1),
        step("c", order=2),
    ]
    assert codes(*steps) == [("/steps/0/parallel_group", "split_group")]


def test_order_may_bring_a_group_together() -> None:
    steps = [
        step("a", parallel_group="g", order=1),
        step("b", order=2),
        step("c", parallel_group="g", order=1),
    ]
    assert codes(*steps) == []


def test_a_group_of_one_is_fine_and_a_parallel_step_without_a_group_is_not() -> None:
    assert codes(step("a", step_type="parallel", parallel_group="g")) == []
    assert codes(step("a", step_type="parallel")) == [("/steps/0", "empty_group")]


def test_a_conditional_step_needs_a_condition() -> None:
    assert codes(step("a", step_type="conditional")) == [
        ("/steps/0", "missing_condition")
    ]


def test_types_that_the_caller_cannot_run_are_refused_and_checked_all_the_same() -> (
    None
):
    document = orchestration(loop(step("a", role_name="nobody")))
    assert found(document, step_types=("sequential",)) == [
        ("/steps/0/step_type", "unsupported_step_type"),
        ("/steps/0/steps/0/role_name", "unknown_role"),
    ]
    assert found(document) == [("/steps/0/steps/0/role_name", "unknown_role")]


def test_steps_nested_too_deeply_are_refused() -> None:
    inner = step("deepest")
    for depth in range(25):
        inner = loop(inner, key=f"l_{depth}")
    problems = codes(inner)
    assert problems == [("/steps/0" + "/steps/0" * 19 + "/steps", "too_deep")]


def test_a_bomb_of_nested_steps_is_refused() -> None:
    inner = step("deepest")
    for _ in range(3_000):
        inner = {"steps": [inner]}
    assert [code for _, code in codes(inner)] == ["too_deep"]


def test_too_many_steps_are_refused_nested_ones_included() -> None:
    steps = [step(f"s_{i}") for i in range(4)]
    assert found(orchestration(*steps), max_steps=4) == []
    assert found(orchestration(*steps), max_steps=3) == [("/steps", "too_many_steps")]
    nested = orchestration(loop(*steps))
    assert found(nested, max_steps=4) == [("/steps", "too_many_steps")]
    assert codes(*[1] * 10_001) == [("/steps", "too_many_steps")]


def test_ten_thousand_steps_are_accepted() -> None:
    chain = [
        step(f"s_{i}", input_mapping=f"{{{{ context.s_{i - 1}.x }}}}" if i else None)
        for i in range(10_000)
    ]
    assert codes(*chain) == []
    assert codes(*[step(f"s_{i}", parallel_group="g") for i in range(10_000)]) == []


@pytest.mark.parametrize("field", ["input_mapping", "condition", "output_mapping"])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("context.before", None),
        ("context.before.any.0.thing", None),
        ("context.exported", None),
        ("context.input.anything", None),
        ("context", None),
        ("context.errors", None),
        ("context.errors.before", None),
        ("context.befor", "unknown_reference"),
        ("context.Before", "unknown_reference"),
        ("context[0]", "unknown_reference"),
        ("before.x", "unknown_reference"),
        ("item", "unknown_reference"),
        ("loop.index", "unknown_reference"),
        ("context.after", "forward_reference"),
        ("context.exported_after", "forward_reference"),
        ("context.left", "self_reference"),
        ("context.right", "sibling_reference"),
        ("context.errors.first", "unknown_reference"),
        ("context.errors.nobody", "unknown_reference"),
        ("context.errors.after", "forward_reference"),
    ],
)
def test_references_are_refused_when_they_can_never_resolve(
    field: str, path: str, code: str | None
) -> None:
    value: Any = {"x": "{{ " + path + " }}"}
    below = "/x"
    if field == "condition":
        value, below = {"field": path, "operator": "exists"}, "/field"
    steps = [
        step("first"),
        step("before", output_mapping={"exported": 1}, on_error="continue"),
        step("left", parallel_group="g", **{field: value}),
        step("right", parallel_group="g"),
        step("after", output_mapping={"exported_after": 1}, on_error="continue"),
    ]
    expected = [] if code is None else [(f"/steps/2/{field}{below}", code)]
    assert codes(*steps) == expected


def test_a_default_excuses_all_but_an_unknown_root() -> None:
    template = [
        "{{ context.nope | default(1) }}",
        "{{ output | default(1) }}",
        "{{ nope | default(1) }}",
    ]
    assert codes(step("a", input_mapping=template)) == [
        ("/steps/0/input_mapping/2", "unknown_reference")
    ]


def test_there_is_no_output_before_the_first_block() -> None:
    reads = {"input_mapping": "{{ output }}"}
    steps = [step(key, parallel_group="g", **reads) for key in ("a", "b")]
    assert codes(*steps, step("c", **reads), output="{{ output }}") == [
        ("/steps/0/input_mapping", "no_previous_output"),
        ("/steps/1/input_mapping", "no_previous_output"),
    ]
    condition = {"field": "output.x", "operator": "exists"}
    assert codes(step("a", condition=condition)) == [
        ("/steps/0/condition/field", "no_previous_output")
    ]


def test_an_output_mapping_reads_its_own_output() -> None:
    assert codes(step("a", output_mapping={"x": "{{ output.y }}"})) == []


def test_references_follow_order_and_pointers_follow_the_document() -> None:
    late = step("late", order=2, input_mapping=["{{ context.soon }}"])
    soon = step("soon", order=1, input_mapping=["{{ context.late }}"])
    assert codes(late, soon) == [("/steps/1/input_mapping/0", "forward_reference")]


def test_the_output_template_reads_every_step_but_no_stranger() -> None:
    output = {"a": "{{ context.a }}", "b": "{{ context.b }}"}
    assert codes(step("a"), output=output) == [("/output/b", "unknown_reference")]


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("query", True),
        ("user.name", True),
        ("open.whatever", True),
        ("queri", False),
        ("user.nmae", False),
        ("0", False),
    ],
)
def test_a_closed_input_schema_tells_which_fields_exist(path: str, fits: bool) -> None:
    problems = codes(
        step("a", input_mapping=f"{{{{ context.input.{path} }}}}"), input_schema=CLOSED
    )
    expected = [("/steps/0/input_mapping", "unknown_reference")]
    assert problems == ([] if fits else expected)


def test_the_template_of_a_conditions_value_is_checked_too() -> None:
    condition = {
        "any": [{"field": "context.a", "operator": ">", "value": "{{ context.c }}"}]
    }
    assert codes(step("a"), step("b", condition=condition), step("c")) == [
        ("/steps/1/condition/any/0/value", "forward_reference")
    ]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("context.reserch", "'research'"),
        ("research.title", "'context.research'"),
        ("context.errors.reserch", "'research'"),
        ("contxt.x", "'context'"),
        ("context.odd - key", 'context["the-name"]'),
    ],
)
def test_references_come_with_a_suggestion(path: str, hint: str) -> None:
    reading = step("a", input_mapping=f"{{{{ {path} }}}}")
    assert hint in details(orchestration(step("research"), reading))
