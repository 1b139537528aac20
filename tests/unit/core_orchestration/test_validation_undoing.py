"""What undoes a step, and the milestone that keeps it from running."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    ROLE_ID,
    WHEN,
    abreast,
    approval,
    child,
    codes,
    each,
    found,
    loop,
    orchestration,
    route,
    said,
    step,
    wait,
)

UNDO = {"role_name": "reader"}


def undone(**compensate: Any) -> dict[str, Any]:
    return step("pay", compensate=compensate)


def undoing(template: object, **fields: Any) -> dict[str, Any]:
    return step("pay", compensate={**UNDO, "input_mapping": template}, **fields)


@pytest.mark.parametrize(
    "compensated",
    [
        undone(**UNDO),
        undone(role_id=ROLE_ID),
        undone(role_name="reader", role_id=None, input_mapping=None),
        undoing({"id": "{{ output.id }}", "why": "{{ context.input.x }}"}),
        undoing("{{ context.pay.id }}"),
        undoing("{{ context.paid }}", output_mapping={"paid": "{{ output.id }}"}),
        step("pay", compensate=None),
        step("pay", step_type="conditional", condition=WHEN, compensate=UNDO),
        step("pay", step_type="parallel", parallel_group="g", compensate=UNDO),
        {**child(orchestration_name="x"), "compensate": UNDO},
        loop(undoing("{{ loop.index }}")),
        each(undoing("{{ item.id }}")),
    ],
)
def test_a_step_with_a_role_or_a_child_can_be_undone(compensated: Any) -> None:
    assert codes(compensated) == []


@pytest.mark.parametrize("holder", [loop, each, route, abreast])
def test_a_step_that_holds_a_body_is_not_undone_itself(holder: Any) -> None:
    made = holder(step("a"), compensate=UNDO)
    assert codes(made) == [("/steps/0/compensate", "unexpected_field")]
    assert "steps of the body" in said(made)


@pytest.mark.parametrize(
    "made",
    [
        {**wait(duration_ms=1), "compensate": UNDO},
        {**approval(), "compensate": UNDO},
        {"key": "halt", "step_type": "stop", "compensate": UNDO},
        {"key": "halt", "step_type": "stop", "compensate": {}},
    ],
)
def test_what_does_nothing_cannot_be_undone(made: dict[str, Any]) -> None:
    assert codes(made) == [("/steps/0/compensate", "unexpected_field")]


@pytest.mark.parametrize(
    ("compensate", "pointer", "code"),
    [
        ({}, "", "missing_role"),
        ({"role_name": None}, "", "missing_role"),
        ({"input_mapping": 1}, "", "missing_role"),
        ({**UNDO, "role_id": ROLE_ID}, "/role_id", "ambiguous_role"),
        ({"role_name": "raeder"}, "/role_name", "unknown_role"),
        ({"role_name": 5}, "/role_name", "wrong_type"),
        ({"role_name": ""}, "/role_name", "blank"),
        ({"role_id": "reader"}, "/role_id", "unknown_role"),
        ({"role_id": ROLE_ID[:-1] + "f"}, "/role_id", "unknown_role"),
        ({**UNDO, "max_retries": 3}, "/max_retries", "unknown_field"),
        ({**UNDO, "compensate": UNDO}, "/compensate", "unknown_field"),
        ({**UNDO, "input_mapping": "{{"}, "/input_mapping", "template_syntax"),
        (
            {**UNDO, "input_mapping": {"a": ["{{ context.nope }}"]}},
            "/input_mapping/a/0",
            "unknown_reference",
        ),
        (
            {**UNDO, "input_mapping": "{{ context.later }}"},
            "/input_mapping",
            "forward_reference",
        ),
        (
            {**UNDO, "input_mapping": "{{ context.failure.type }}"},
            "/input_mapping",
            "unknown_reference",
        ),
        ({**UNDO, "input_mapping": "{{ item }}"}, "/input_mapping", None),
    ],
)
def test_a_faulty_compensation_is_refused_at_the_field(
    compensate: dict[str, Any], pointer: str, code: str | None
) -> None:
    made = step("pay", compensate=compensate)
    problem = ("/steps/0/compensate" + pointer, code or "unknown_reference")
    assert codes(made, step("later")) == [problem]


@pytest.mark.parametrize("nonsense", [1, "reader", [], True])
def test_a_compensation_is_an_object(nonsense: object) -> None:
    made = step("pay", compensate=nonsense)
    assert codes(made) == [("/steps/0/compensate", "wrong_type")]


def test_a_compensation_does_not_see_what_ran_beside_its_step() -> None:
    group = {"parallel_group": "g"}
    made = undoing("{{ context.other }}", **group)
    assert codes(made, step("other", **group)) == [
        ("/steps/0/compensate/input_mapping", "sibling_reference")
    ]


def test_a_compensation_has_a_role_of_its_own_and_says_so() -> None:
    assert "What undoes the step has no role" in said(undone())
    assert "'reader'" in said(undone(role_name="raeder"))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_compensation_may_not_be_nested_too_deeply() -> None:
    assert codes(undoing(deep(48))) == []
    problems = codes(undoing(deep(60)))
    assert problems
    assert all(
        at.startswith("/steps/0/compensate") and code == "too_deep"
        for at, code in problems
    )


@pytest.mark.parametrize(
    "document",
    [
        orchestration(step("a", milestone="b"), step("b")),
        orchestration(step("a"), step("b", milestone="a")),
        orchestration(step("a", milestone=None)),
        orchestration(step("a", milestone="inner"), loop(step("inner"))),
        orchestration(step("a"), loop(step("inner", milestone="a"))),
        orchestration(loop(step("a"), step("b", milestone="a"))),
        orchestration(loop(step("a")), each(step("b", milestone="again"))),
        orchestration({**wait(duration_ms=5), "milestone": "a"}, step("a")),
        orchestration(step("a"), on_failure=[step("b", milestone="a")]),
    ],
)
def test_a_milestone_is_any_other_step(document: dict[str, Any]) -> None:
    assert found(document) == []


@pytest.mark.parametrize(
    ("made", "pointer", "code"),
    [
        (step("a", milestone="bb"), "/steps/0", "unknown_step"),
        (step("a", milestone="An example"), "/steps/0", "unknown_step"),
        (step("a", milestone="a"), "/steps/0", "self_reference"),
        (loop(step("a", milestone="again")), "/steps/0/steps/0", "self_reference"),
        (
            loop(route(step("a", milestone="again"))),
            "/steps/0/steps/0/steps/0",
            "self_reference",
        ),
        (step("a", milestone=""), "/steps/0", "blank"),
        (step("a", milestone=1), "/steps/0", "wrong_type"),
        (step("a", milestone="x" * 65), "/steps/0", "too_long"),
    ],
)
def test_a_milestone_that_is_none_is_refused(
    made: dict[str, Any], pointer: str, code: str
) -> None:
    assert codes(made, step("b_b")) == [(pointer + "/milestone", code)]


def test_what_a_milestone_may_be_is_said() -> None:
    assert "'b_b'" in said(step("a", milestone="bb"), step("b_b"))
    assert "holds this one" in said(loop(step("a", milestone="again")))
    assert "own milestone" in said(step("a", milestone="a"))
