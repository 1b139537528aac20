"""Conditions compare without coercion and know what a missing field means."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.language import (
    Condition,
    ConditionSyntaxError,
    Reference,
    TemplateRenderError,
    condition_problems,
)

SCOPE: dict[str, Any] = {
    "context": {
        "input": {"limit": 3, "word": "ell"},
        "items": [1, "1", {"a": [1.0]}, None],
        "null": None,
        "flag": True,
    },
    "output": {"confidence": 0.9, "text": "hello", "count": 5, "tags": {"x": 1}},
}


def holds(field: str, operator: str, *value: Any) -> bool:
    given = {"value": value[0]} if value else {}
    return Condition.parse({"field": field, "operator": operator, **given}).holds(SCOPE)


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("output.confidence", "==", 0.9),
        ("output.count", "==", 5.0),
        ("output.count", "!=", "5"),
        ("context.null", "==", None),
        ("context.items.2", "==", {"a": [1]}),
        ("output.confidence", ">", 0.8),
        ("output.confidence", ">=", 0.9),
        ("output.count", "<", 5.5),
        ("output.text", "<=", "hello"),
        ("output.text", "<", "help"),
        ("output.count", "in", [4, 5]),
        ("output.text", "in", "hello world"),
        ("output.text", "in", {"hello": 1}),
        ("output.count", "not_in", ["5", True]),
        ("context.items", "contains", {"a": [1]}),
        ("output.text", "contains", "ell"),
        ("output.tags", "contains", "x"),
        ("context.items", "not_contains", True),
        ("output.count", "not_contains", 5),
        ("output.text", "starts_with", "he"),
        ("output.text", "ends_with", "lo"),
        ("output.text", "matches", "l{2}o$"),
        ("{{ context.items[-1] }}", "==", None),
        ("context.items.1", "==", "1"),
    ],
)
def test_a_comparison_that_holds(field: str, operator: str, value: object) -> None:
    assert holds(field, operator, value)


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("output.count", "==", "5"),
        ("context.flag", "==", 1),
        ("context.items.0", "==", True),
        ("context.items.2", "==", {"a": [True]}),
        ("context.null", "==", False),
        ("context.null", "==", ""),
        ("output.text", ">", 1),
        ("output.count", "<", "9"),
        ("context.flag", ">=", 0),
        ("context.null", "<=", 0),
        ("context.items", ">", 0),
        ("output.count", "in", ["5"]),
        ("output.count", "in", "12345"),
        ("context.flag", "in", [1]),
        ("output.text", "not_in", "hello"),
        ("context.items", "contains", True),
        ("output.count", "contains", 5),
        ("output.text", "not_contains", "ell"),
        ("output.count", "starts_with", "5"),
        ("output.text", "ends_with", "x"),
        ("output.text", "matches", "^l"),
        ("output.count", "matches", "5"),
        ("context.null", "matches", "null"),
    ],
)
def test_a_comparison_that_does_not_hold(
    field: str, operator: str, value: object
) -> None:
    assert not holds(field, operator, value)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("==", False),
        ("!=", True),
        (">", False),
        (">=", False),
        ("<", False),
        ("<=", False),
        ("in", False),
        ("not_in", True),
        ("contains", False),
        ("not_contains", True),
        ("starts_with", False),
        ("ends_with", False),
        ("matches", False),
    ],
)
@pytest.mark.parametrize("field", ["output.nope", "nope.x", "context.items.9"])
def test_a_missing_field_is_false_except_for_the_negative_operators(
    field: str, operator: str, *, expected: bool
) -> None:
    assert holds(field, operator, "x") is expected


@pytest.mark.parametrize(
    ("field", "exists"),
    [
        ("output.text", True),
        ("context.null", True),
        ("context.null.x", False),
        ("output.nope", False),
        ("nope", False),
    ],
)
def test_existing_is_about_presence_so_null_exists(field: str, *, exists: bool) -> None:
    assert holds(field, "exists") is exists
    assert holds(field, "not_exists") is not exists


def test_a_value_may_be_a_template() -> None:
    assert holds("output.count", ">", "{{ context.input.limit }}")
    assert holds("output.text", "contains", "{{ context.input.word }}")
    assert holds("output.count", "in", [1, "{{ context.input.limit + 2 }}"])


def test_a_template_in_the_value_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(TemplateRenderError, match="limits"):
        holds("output.count", ">", "{{ context.input.limits }}")


def test_combinators_nest() -> None:
    true = {"field": "output.count", "operator": "==", "value": 5}
    false = {"field": "output.count", "operator": "==", "value": 6}
    for condition, expected in [
        ({"all": [true, true]}, True),
        ({"all": [true, false]}, False),
        ({"any": [false, true]}, True),
        ({"any": [false, false]}, False),
        ({"not": false}, True),
        ({"all": [{"any": [false, {"not": false}]}, {"not": {"not": true}}]}, True),
    ]:
        assert Condition.parse(condition).holds(SCOPE) is expected


def test_references_hold_fields_and_the_templates_of_values() -> None:
    condition = Condition.parse(
        {
            "any": [
                {"field": "context.a.0", "operator": "exists"},
                {"field": "output", "operator": "==", "value": "{{ context.b }}"},
            ]
        }
    )
    assert condition.references == {
        Reference("context", ("a", 0)),
        Reference("output"),
        Reference("context", ("b",)),
    }


@pytest.mark.parametrize(
    ("condition", "pointer", "code"),
    [
        (5, "", "invalid_condition"),
        ("output.x > 1", "", "invalid_condition"),
        ({}, "", "invalid_condition"),
        ({"all": []}, "/all", "invalid_condition"),
        ({"any": {}}, "/any", "invalid_condition"),
        ({"not": []}, "/not", "invalid_condition"),
        ({"not": {}, "field": "a"}, "/field", "unknown_field"),
        ({"operator": "exists"}, "", "missing_field"),
        ({"field": "a"}, "", "missing_operator"),
        ({"field": "a", "operator": "=>", "value": 1}, "/operator", "unknown_operator"),
        ({"field": "a", "operator": None, "value": 1}, "/operator", "unknown_operator"),
        ({"field": "a", "operator": ["=="], "value": 1}, "/operator", "unknown_operator"),
        ({"field": "a", "operator": "=="}, "", "missing_value"),
        ({"field": "a", "operator": "exists", "value": 3}, "/value", "unexpected_value"),
        ({"field": "a b", "operator": "exists"}, "/field", "invalid_field"),
        ({"field": "a | upper", "operator": "exists"}, "/field", "invalid_field"),
        ({"field": "{{ a", "operator": "exists"}, "/field", "invalid_field"),
        ({"field": "a[b]", "operator": "exists"}, "/field", "invalid_field"),
        ({"field": "", "operator": "exists"}, "/field", "invalid_field"),
        ({"field": 1, "operator": "exists"}, "/field", "invalid_field"),
        ({"field": None, "operator": "exists"}, "/field", "invalid_field"),
        ({"field": "a", "operator": ">", "value": True}, "/value", "invalid_value"),
        ({"field": "a", "operator": "<", "value": None}, "/value", "invalid_value"),
        ({"field": "a", "operator": "in", "value": 3}, "/value", "invalid_value"),
        ({"field": "a", "operator": "starts_with", "value": 3}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": 3}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": "("}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": "(?=a)"}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": "(a)\\1"}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": "x" * 1001}, "/value", "invalid_value"),
        ({"field": "a", "operator": "matches", "value": "{{ b }}"}, "/value", "invalid_value"),
        ({"field": "a", "operator": "==", "value": ["{{"]}, "/value/0", "template_syntax"),
        ({"field": "a", "operator": "==", "value": 1, "vaule": 2}, "/vaule", "unknown_field"),
        ({"all": [{"not": {"field": "a"}}]}, "/all/0/not", "missing_operator"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(
    condition: object, pointer: str, code: str
) -> None:
    with pytest.raises(ConditionSyntaxError) as caught:
        Condition.parse(condition)
    assert (pointer, code) in [(p.pointer, p.code) for p in caught.value.problems]


def test_all_faults_are_listed_at_once() -> None:
    problems = condition_problems(
        {"all": [{"field": 1, "operator": "~", "value": 1}, {"not": 3}]}
    )
    assert [problem.pointer for problem in problems] == [
        "/all/0/operator",
        "/all/0/field",
        "/all/1/not",
    ]


def test_an_operator_close_to_a_known_one_is_suggested() -> None:
    (problem,) = condition_problems(
        {"field": "a", "operator": "start_with", "value": "x"}
    )
    assert "'starts_with'" in problem.detail


def test_deep_nesting_is_refused() -> None:
    condition: object = {"field": "a", "operator": "exists"}
    for _ in range(50):
        condition = {"not": condition}
    assert [problem.code for problem in condition_problems(condition)] == ["too_deep"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "(a*)*b"])
def test_patterns_that_blow_up_elsewhere_take_linear_time(pattern: str) -> None:
    condition = Condition.parse({"field": "x", "operator": "matches", "value": pattern})
    assert not condition.holds({"x": "a" * 200_000 + "!"})


def test_text_that_is_no_unicode_matches_nothing() -> None:
    condition = Condition.parse({"field": "x", "operator": "matches", "value": ".*"})
    assert not condition.holds({"x": "\ud800"})
