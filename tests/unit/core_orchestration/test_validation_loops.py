"""A loop's config: a limit always, one end at most, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import WHEN, codes, loop, said, step

CONFIG = "/steps/0/config"


def configured(**config: Any) -> list[tuple[str, str]]:
    return codes(loop(step("a"), config={"max_iterations": 3, **config}))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_iterations": 1},
        {"max_iterations": 100_000},
        {"while": WHEN},
        {"until": WHEN},
        {"count": 0},
        {"count": "{{ context.input.n }}"},
        {"count": "1{{ context.input.n }}"},
        {"on_limit": "continue", "collect": "all"},
        {"on_limit": "fail", "collect": "last"},
    ],
)
def test_a_sound_loop_has_no_problems(config: dict[str, Any]) -> None:
    assert configured(**config) == []


@pytest.mark.parametrize("limit", [None, 0, -1, True, "3", 1.5, [], "{{ output }}"])
def test_a_loop_needs_a_limit(limit: object) -> None:
    assert configured(max_iterations=limit) == [(CONFIG, "loop_without_limit")]


@pytest.mark.parametrize("fields", [{"config": {}}, {"config": {"until": WHEN}}])
def test_a_loop_without_a_word_about_its_limit_is_refused(
    fields: dict[str, Any],
) -> None:
    assert codes(loop(step("a"), **fields)) == [(CONFIG, "loop_without_limit")]


def test_a_loop_without_a_config_is_refused() -> None:
    bare = loop(step("a"))
    del bare["config"]
    assert codes(bare) == [(CONFIG, "loop_without_limit")]


def test_a_limit_may_be_too_high() -> None:
    problems = configured(max_iterations=100_001)
    assert problems == [(CONFIG + "/max_iterations", "out_of_range")]


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"count": -1}, "/count", "out_of_range"),
        ({"count": True}, "/count", "wrong_type"),
        ({"count": 1.5}, "/count", "wrong_type"),
        ({"count": None}, "/count", "wrong_type"),
        ({"count": "3"}, "/count", "wrong_type"),
        ({"count": "{{"}, "/count", "template_syntax"),
        ({"while": None}, "/while", "wrong_type"),
        ({"while": True}, "/while", "wrong_type"),
        ({"while": {}}, "/while", "invalid_condition"),
        ({"until": []}, "/until", "wrong_type"),
        ({"until": {"all": [{}]}}, "/until/all/0", "invalid_condition"),
        ({"until": {**WHEN, "field": 1}}, "/until/field", "invalid_field"),
        ({"on_limit": "stop"}, "/on_limit", "unknown_choice"),
        ({"on_limit": None}, "/on_limit", "unknown_choice"),
        ({"collect": "first"}, "/collect", "unknown_choice"),
        ({"untl": WHEN}, "/untl", "unknown_field"),
        ({"items": []}, "/items", "unknown_field"),
    ],
)
def test_a_faulty_field_is_named_with_its_place(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    assert configured(**config) == [(CONFIG + pointer, code)]


@pytest.mark.parametrize(
    ("config", "others"),
    [
        ({"while": WHEN, "until": WHEN}, ["until"]),
        ({"count": 2, "while": WHEN}, ["while"]),
        ({"until": WHEN, "count": 2, "while": WHEN}, ["count", "while"]),
    ],
)
def test_a_loop_has_one_end_at_most(config: dict[str, Any], others: list[str]) -> None:
    expected = [(f"{CONFIG}/{name}", "conflicting_fields") for name in others]
    assert configured(**config) == expected


def test_the_nearest_field_of_the_config_is_suggested() -> None:
    config = {"max_iterations": 3, "untill": WHEN}
    assert "'until'" in said(loop(step("a"), config=config))


@pytest.mark.parametrize("body", [[], None])
def test_a_loop_needs_a_body(body: object) -> None:
    assert ("/steps/0", "empty_body") in codes(loop(steps=body))
