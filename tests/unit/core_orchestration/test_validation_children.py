"""A step that runs another orchestration names one that is there."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.validation import OrchestrationDirectory, validate
from tests.unit.core_orchestration.definitions import (
    ROLES,
    child,
    codes,
    each,
    found,
    orchestration,
    step,
)

ID = "01890000-0000-7000-8000-0000000000a1"
DRAFT_ID = ID[:-1] + "2"
KNOWN = OrchestrationDirectory.of(
    {ID: "Billing", DRAFT_ID: "Draft"}, {ID: 3, DRAFT_ID: 0}
)


def wrong(step_: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    return found(orchestration(step_, **fields), orchestrations=KNOWN)


@pytest.mark.parametrize(
    "config",
    [
        {"orchestration_name": "Billing"},
        {"orchestration_name": "Billing", "version": 3, "wait": False},
        {"orchestration_id": ID},
        {"orchestration_id": ID.upper(), "version": 1, "wait": True},
        {"orchestration_name": "Draft"},
        {"orchestration_name": "An example"},
        {"orchestration_name": "An example", "version": 9},
    ],
)
@pytest.mark.parametrize("holder", [None, each])
def test_what_is_there_may_be_run_and_so_may_oneself(
    holder: Any, config: dict[str, Any]
) -> None:
    made = {**child(**config), "input_mapping": {"x": "{{ context.input.x }}"}}
    assert wrong(holder(made) if holder else made) == []


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({}, "", "required"),
        ({"version": 1}, "", "required"),
        (
            {"orchestration_name": "Billing", "orchestration_id": ID},
            "/orchestration_id",
            "conflicting_fields",
        ),
        (
            {"orchestration_name": "Biling"},
            "/orchestration_name",
            "unknown_orchestration",
        ),
        ({"orchestration_name": ID}, "/orchestration_name", "unknown_orchestration"),
        ({"orchestration_name": ""}, "/orchestration_name", "blank"),
        ({"orchestration_name": None}, "/orchestration_name", "wrong_type"),
        ({"orchestration_name": "x" * 201}, "/orchestration_name", "too_long"),
        (
            {"orchestration_id": ID[:-1] + "9"},
            "/orchestration_id",
            "unknown_orchestration",
        ),
        ({"orchestration_id": "Billing"}, "/orchestration_id", "unknown_orchestration"),
        ({"orchestration_id": 5}, "/orchestration_id", "wrong_type"),
        ({"orchestration_id": ID, "version": 4}, "/version", "unknown_version"),
        (
            {"orchestration_name": "Billing", "version": 4},
            "/version",
            "unknown_version",
        ),
        ({"orchestration_name": "Draft", "version": 1}, "/version", "unknown_version"),
        ({"orchestration_id": ID, "version": 0}, "/version", "out_of_range"),
        ({"orchestration_id": ID, "version": "1"}, "/version", "wrong_type"),
        ({"orchestration_id": ID, "version": True}, "/version", "wrong_type"),
        ({"orchestration_id": ID, "wait": "yes"}, "/wait", "wrong_type"),
        ({"orchestration_id": ID, "waits": True}, "/waits", "unknown_field"),
    ],
)
def test_a_faulty_config_is_refused_at_the_field(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    assert wrong(child(**config)) == [("/steps/0/config" + pointer, code)]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"role_name": "writer"}, "/role_name", "unexpected_role"),
        ({"steps": [step("a")]}, "/steps", "unexpected_body"),
        ({"input_mapping": "{{ context.no }}"}, "/input_mapping", "unknown_reference"),
    ],
)
def test_it_has_an_input_and_neither_role_nor_body(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    made = {**child(orchestration_name="Billing"), **fields}
    assert wrong(made) == [("/steps/0" + pointer, code)]


def test_without_a_directory_all_are_taken_to_be_there() -> None:
    assert codes(child(orchestration_name="Whatever", version=7)) == []
    assert codes(child(orchestration_id="whatever")) == []
    assert codes(child()) == [("/steps/0/config", "required")]


def test_a_name_that_comes_near_is_suggested() -> None:
    def detail(**config: Any) -> str:
        document = orchestration(child(**config))
        (problem,) = validate(document, ROLES, orchestrations=KNOWN)
        return problem.detail

    assert "'Billing'" in detail(orchestration_name="biling")
    assert "'An example'" in detail(orchestration_name="An exampel")
    assert "orchestration_name" in detail(orchestration_id="Billing")
    assert "newest is 3" in detail(orchestration_id=ID, version=4)
    assert "none has been published" in detail(orchestration_id=DRAFT_ID, version=1)


@pytest.mark.parametrize("name", [None, 5, [], {"a": 1}])
def test_a_name_that_is_none_adds_nothing(name: object) -> None:
    problems = wrong(child(orchestration_name="An example"), name=name)
    assert ("/steps/0/config/orchestration_name", "unknown_orchestration") in problems
