"""How a branch step chooses: by cases or by weights, among branches that exist."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import WHEN, codes, route, said, step

CONFIG = "/steps/0/config"
BODY = (step("a"), step("b_1", branch="b"), step("b_2", branch="b"))


def case(branch: Any, condition: Any = WHEN) -> dict[str, Any]:
    return {"branch": branch, "condition": condition}


BOTH = [case("a"), case("b")]


def configured(**config: Any) -> list[tuple[str, str]]:
    return codes(route(*BODY, config=config))


@pytest.mark.parametrize(
    "config",
    [
        {"cases": BOTH},
        {"cases": BOTH, "mode": "all"},
        {"cases": BOTH, "mode": "first", "else": "a"},
        {"cases": [case("a")], "else": "b"},
        {"cases": [case("a"), case("b"), case("a")]},
        {"weights": {"a": 90, "b": 0.5}},
        {"weights": {"a": 1, "b": 1}, "sticky": "{{ context.input.customer }}"},
        {"weights": {"a": 1, "b": 1}, "sticky": ["{{ context.input.x }}", "salt"]},
    ],
)
def test_a_sound_choice_has_no_problems(config: dict[str, Any]) -> None:
    assert configured(**config) == []


@pytest.mark.parametrize("config", [{}, {"mode": "all"}, {"sticky": "x"}])
def test_a_branch_step_needs_cases_or_weights(config: dict[str, Any]) -> None:
    assert configured(**config) == [(CONFIG, "no_cases")]


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"cases": []}, "/cases", "no_cases"),
        ({"cases": {}}, "/cases", "wrong_type"),
        ({"cases": None}, "/cases", "wrong_type"),
        ({"cases": [*BOTH, "a"]}, "/cases/2", "wrong_type"),
        ({"cases": [*BOTH, {"branch": "a"}]}, "/cases/2", "required"),
        ({"cases": [*BOTH, {"condition": WHEN}]}, "/cases/2", "required"),
        ({"cases": [*BOTH, case(1)]}, "/cases/2/branch", "wrong_type"),
        ({"cases": [*BOTH, case("")]}, "/cases/2/branch", "blank"),
        ({"cases": [*BOTH, case("c")]}, "/cases/2/branch", "unknown_branch"),
        ({"cases": [*BOTH, case("b_1")]}, "/cases/2/branch", "unknown_branch"),
        ({"cases": [*BOTH, case("a", [])]}, "/cases/2/condition", "wrong_type"),
        ({"cases": [*BOTH, case("a", None)]}, "/cases/2/condition", "wrong_type"),
        ({"cases": [*BOTH, case("a", {})]}, "/cases/2/condition", "invalid_condition"),
        ({"cases": [{**case("a"), "brnch": 1}]}, "/cases/0/brnch", "unknown_field"),
        ({"cases": BOTH, "else": "c"}, "/else", "unknown_branch"),
        ({"cases": BOTH, "else": None}, "/else", "wrong_type"),
        ({"cases": [case("a")], "else": 1}, "/else", "wrong_type"),
        ({"cases": BOTH, "mode": "any"}, "/mode", "unknown_choice"),
        ({"cases": BOTH, "sticky": "x"}, "/sticky", "unexpected_field"),
        ({"cases": BOTH, "case": []}, "/case", "unknown_field"),
        ({"weights": {}}, "/weights", "no_weights"),
        ({"weights": [1]}, "/weights", "wrong_type"),
        ({"weights": {"a": 1, "b": 0}}, "/weights/b", "out_of_range"),
        ({"weights": {"a": 1, "b": -1}}, "/weights/b", "out_of_range"),
        ({"weights": {"a": 1, "b": "1"}}, "/weights/b", "wrong_type"),
        ({"weights": {"a": 1, "b": True}}, "/weights/b", "wrong_type"),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "/weights/c", "unknown_branch"),
        ({"weights": {"a": 1, "b": 1}, "mode": "all"}, "/mode", "unexpected_field"),
        ({"weights": {"a": 1, "b": 1}, "else": "a"}, "/else", "unexpected_field"),
        ({"weights": {"a": 1, "b": 1}, "sticky": None}, "/sticky", "wrong_type"),
        (
            {"weights": {"a": 1, "b": 1}, "sticky": "{{ x"},
            "/sticky",
            "template_syntax",
        ),
        (
            {"cases": BOTH, "weights": {"a": 1}},
            "/weights",
            "conflicting_fields",
        ),
    ],
)
def test_a_faulty_field_is_named_with_its_place(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    assert configured(**config) == [(CONFIG + pointer, code)]


def test_a_weight_is_finite() -> None:
    problems = configured(weights={"a": 1, "b": math.inf})
    assert (CONFIG + "/weights/b", "out_of_range") in problems


@pytest.mark.parametrize(
    "config",
    [{"cases": [case("a")]}, {"weights": {"a": 1}}, {"cases": [], "else": "a"}],
)
def test_a_branch_that_nothing_chooses_is_named_by_its_first_step(
    config: dict[str, Any],
) -> None:
    problem = ("/steps/0/steps/1", "unreachable_branch")
    expected = [(CONFIG + "/cases", "no_cases")] if config.get("cases") == [] else []
    assert configured(**config) == (expected or [problem])


def test_a_branch_whose_name_was_mistyped_is_not_called_unreachable_too() -> None:
    config = {"cases": [case("a"), case("bb")]}
    assert configured(**config) == [(CONFIG + "/cases/1/branch", "unknown_branch")]


def test_the_nearest_names_are_suggested() -> None:
    body = [step("refund"), step("answer")]
    wrong: dict[str, Any] = {"cases": [case("refnd"), case("answer")]}
    assert "'refund'" in said(route(*body, config=wrong))
    assert "'condition'" in said(route(*body, config={"cases": [{"conditon": 1}]}))
    assert "'weights'" in said(route(*body, config={"weigths": {"refund": 1}}))


@pytest.mark.parametrize("body", [[], None])
def test_a_branch_step_needs_a_body(body: object) -> None:
    config = {"cases": [case("a")]}
    problems = codes(route(config=config, steps=body))
    assert ("/steps/0", "empty_body") in problems
    assert "unknown_branch" not in {code for _, code in problems}
