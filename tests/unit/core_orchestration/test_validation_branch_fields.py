"""Which branch a step belongs to: only where there are branches, and in one piece."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    abreast,
    codes,
    each,
    loop,
    route,
    step,
)

HOLDERS = [route, abreast]


@pytest.mark.parametrize("holder", HOLDERS)
def test_steps_of_one_branch_stand_together(holder: Any) -> None:
    body = [step("a", branch="x"), step("b", branch="x"), step("c"), step("d")]
    assert codes(holder(*body)) == []


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_branch_split_by_another_step_is_refused(holder: Any) -> None:
    body = [step("a", branch="x"), step("b"), step("c", branch="x")]
    assert codes(holder(*body)) == [("/steps/0/steps/2/branch", "split_branch")]


def test_a_branch_split_by_another_branch_is_refused() -> None:
    names = ["x", "y", "x", "y"]
    body = [step(f"s_{i}", branch=name) for i, name in enumerate(names)]
    assert codes(abreast(*body)) == [
        ("/steps/0/steps/2/branch", "split_branch"),
        ("/steps/0/steps/3/branch", "split_branch"),
    ]


def test_order_may_bring_a_branch_together_and_tear_it_apart() -> None:
    apart = [step("a", branch="x", order=1), step("b", order=2)]
    together = step("c", branch="x", order=1)
    assert codes(abreast(*apart, together)) == []
    torn = step("c", branch="x", order=3)
    assert codes(abreast(*apart, torn)) == [("/steps/0/steps/2/branch", "split_branch")]


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_branch_has_no_name_of_a_step_that_is_a_branch_by_itself(
    holder: Any,
) -> None:
    body = [step("x"), step("a", branch="x")]
    assert codes(holder(*body)) == [("/steps/0/steps/1/branch", "duplicate_branch")]
    named = [{"name": "X", "role_name": "writer"}, step("a", branch="x")]
    assert codes(abreast(*named)) == [("/steps/0/steps/1/branch", "duplicate_branch")]


def test_a_branch_may_have_the_name_of_a_step_of_its_own_or_of_another_branch() -> None:
    body = [step("x", branch="x"), step("a", branch="x"), step("b", branch="a")]
    assert codes(abreast(*body)) == []


@pytest.mark.parametrize("holder", [loop, each])
def test_only_steps_right_inside_a_branching_step_belong_to_a_branch(
    holder: Any,
) -> None:
    inside = step("a", branch="x")
    wrong = "unexpected_branch"
    assert codes(inside) == [("/steps/0/branch", wrong)]
    assert codes(holder(inside)) == [("/steps/0/steps/0/branch", wrong)]
    assert codes(abreast(holder(inside))) == [
        ("/steps/0/steps/0/steps/0/branch", wrong)
    ]


def test_a_role_of_a_group_has_no_branches() -> None:
    grouped = step("a", step_type="parallel", parallel_group="g", branch="x")
    assert codes(grouped) == [("/steps/0/branch", "unexpected_branch")]


@pytest.mark.parametrize("name", ["", "A", "a-b", "1a", "x" * 65, "a\n"])
def test_a_branch_is_named_as_a_key_is(name: str) -> None:
    assert codes(abreast(step("a", branch=name))) == [
        ("/steps/0/steps/0/branch", "invalid_name")
    ]


def test_a_group_stands_within_one_branch() -> None:
    one = [step(key, branch="x", parallel_group="g") for key in ("a", "b")]
    assert codes(abreast(*one, step("c"))) == []
    two = [step(key, branch=key, parallel_group="g") for key in ("x", "y")]
    assert codes(abreast(*two)) == [("/steps/0/steps/1/parallel_group", "split_group")]


def test_a_group_is_not_split_within_its_branch_either() -> None:
    body = [
        step("a", branch="x", parallel_group="g"),
        step("b", branch="x"),
        step("c", branch="x", parallel_group="g"),
    ]
    assert codes(abreast(*body)) == [("/steps/0/steps/2/parallel_group", "split_group")]


def test_branches_may_write_the_same_name_and_steps_of_a_group_may_not() -> None:
    writes = {"output_mapping": {"total": 1}}
    assert codes(abreast(step("a", **writes), step("b", **writes))) == []
    grouped = {"branch": "x", "parallel_group": "g", **writes}
    assert codes(abreast(step("a", **grouped), step("b", **grouped))) == [
        ("/steps/0/steps/1/output_mapping/total", "duplicate_key")
    ]
