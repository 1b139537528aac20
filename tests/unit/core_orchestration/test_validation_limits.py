"""An orchestration's limits stay below the installation's."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.definition import parse, to_json
from core_orchestration.validation import CEILINGS, validate
from tests.unit.core_orchestration.definitions import (
    ROLES,
    details,
    found,
    orchestration,
    step,
)


def limited(limits: Any) -> dict[str, Any]:
    return orchestration(step("a"), limits=limits)


@pytest.mark.parametrize(
    "limits", [{}, {"max_steps": 1}, dict(CEILINGS), dict.fromkeys(CEILINGS, 1)]
)
def test_limits_up_to_the_ceiling_are_fine(limits: dict[str, int]) -> None:
    assert found(limited(limits)) == []
    assert parse(limited(limits)).limits == limits
    assert to_json(parse(limited(limits)))["limits"] == limits


@pytest.mark.parametrize("name", sorted(CEILINGS))
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "out_of_range"),
        (-1, "out_of_range"),
        (2**63, "out_of_range"),
        (1.5, "wrong_type"),
        (True, "wrong_type"),
        ("10", "wrong_type"),
        (None, "wrong_type"),
        ({}, "wrong_type"),
    ],
)
def test_a_limit_is_a_positive_whole_number(
    name: str, value: object, code: str
) -> None:
    assert found(limited({name: value})) == [(f"/limits/{name}", code)]


@pytest.mark.parametrize("name", sorted(CEILINGS))
def test_what_is_above_the_ceiling_is_refused_with_the_ceiling(name: str) -> None:
    document = limited({name: CEILINGS[name] + 1})
    assert found(document) == [(f"/limits/{name}", "above_limit")]
    assert f"{CEILINGS[name]:,}" in details(document)


def test_the_ceilings_are_those_of_the_installation() -> None:
    document = limited({"max_steps": 8, "max_depth": 5})
    assert found(document, ceilings={"max_steps": 8}) == []
    assert found(document, ceilings={"max_steps": 7, "max_depth": 4}) == [
        ("/limits/max_depth", "above_limit"),
        ("/limits/max_steps", "above_limit"),
    ]
    (problem,) = validate(document, ROLES, ceilings={"max_steps": 7})
    assert "allows 7 at most" in problem.detail


@pytest.mark.parametrize("nonsense", [None, [], 5, "all", True])
def test_limits_are_an_object(nonsense: object) -> None:
    assert found(limited(nonsense)) == [("/limits", "wrong_type")]


def test_an_unknown_limit_is_refused_with_the_nearest() -> None:
    document = limited({"max_stesp": 5, "timeout_ms": 5})
    assert found(document) == [
        ("/limits/max_stesp", "unknown_field"),
        ("/limits/timeout_ms", "unknown_field"),
    ]
    assert "'max_steps'" in details(document)
