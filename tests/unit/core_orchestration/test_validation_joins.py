"""A parallel step with a body waits for as many branches as its config says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import abreast, codes, said, step

CONFIG = "/steps/0/config"
BODY = (step("a"), step("b_1", branch="b"), step("b_2", branch="b"))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"join": "all", "max_parallel": 1},
        {"join": "any", "max_parallel": 1_000},
        {"join": "n_of_m", "n": 1},
        {"join": "n_of_m", "n": 2},
    ],
)
def test_a_sound_join_has_no_problems(config: dict[str, Any]) -> None:
    assert codes(abreast(*BODY, config=config)) == []


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"join": "some"}, "/join", "unknown_choice"),
        ({"join": None}, "/join", "unknown_choice"),
        ({"join": "n_of_m"}, "", "required"),
        ({"join": "n_of_m", "n": 0}, "/n", "out_of_range"),
        ({"join": "n_of_m", "n": 3}, "/n", "out_of_range"),
        ({"join": "n_of_m", "n": "1"}, "/n", "wrong_type"),
        ({"join": "n_of_m", "n": True}, "/n", "wrong_type"),
        ({"n": 1}, "/n", "unexpected_field"),
        ({"join": "any", "n": 1}, "/n", "unexpected_field"),
        ({"max_parallel": 0}, "/max_parallel", "out_of_range"),
        ({"max_parallel": 1_001}, "/max_parallel", "out_of_range"),
        ({"cases": []}, "/cases", "unknown_field"),
    ],
)
def test_a_faulty_field_is_named_with_its_place(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    problems = codes(abreast(*BODY, config=config))
    assert problems == [(CONFIG + pointer, code)]


def test_n_counts_branches_and_not_steps() -> None:
    config = {"join": "n_of_m", "n": 3}
    assert "There are 2 branches" in said(abreast(*BODY, config=config))


def test_with_a_body_it_is_done_without_a_role_and_needs_no_group() -> None:
    assert codes(abreast(*BODY)) == []
    assert codes(abreast(*BODY, parallel_group="g")) == []
    assert codes(abreast(*BODY, role_name="writer")) == [
        ("/steps/0/role_name", "unexpected_role")
    ]


@pytest.mark.parametrize("body", [{}, {"steps": []}])
def test_without_a_body_it_is_a_step_of_a_group_with_a_role(
    body: dict[str, Any],
) -> None:
    sound = step("a", step_type="parallel", parallel_group="g", **body)
    assert codes(sound) == []
    assert codes({**sound, "parallel_group": None}) == [("/steps/0", "empty_group")]
    assert codes({**sound, "role_name": None}) == [("/steps/0", "missing_role")]


def test_without_a_body_its_config_is_free() -> None:
    config = {"join": 1, "anything": {"else": []}}
    free = step("a", step_type="parallel", parallel_group="g", config=config)
    assert codes(free, step("b", config=config)) == []
