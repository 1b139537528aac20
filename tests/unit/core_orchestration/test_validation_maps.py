"""A map's config: something to go through, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import codes, each, said, step

CONFIG = "/steps/0/config"


def configured(**config: Any) -> list[tuple[str, str]]:
    return codes(each(step("a"), config={"items": [1], **config}))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"items": []},
        {"items": ["{{ context.input.a }}", {"b": "{{ context.input.b }}"}]},
        {"items": "{{ context.input.list }}"},
        {"max_parallel": 1},
        {"max_parallel": 1_000},
        {"item_errors": "fail"},
        {"item_errors": "continue"},
        {"item_errors": "drop", "stop_after": 1},
    ],
)
def test_a_sound_map_has_no_problems(config: dict[str, Any]) -> None:
    assert configured(**config) == []


@pytest.mark.parametrize("config", [{}, {"max_parallel": 3}])
def test_a_map_needs_items(config: dict[str, Any]) -> None:
    assert codes(each(step("a"), config=config)) == [(CONFIG, "required")]


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"items": None}, "/items", "wrong_type"),
        ({"items": 3}, "/items", "wrong_type"),
        ({"items": {}}, "/items", "wrong_type"),
        ({"items": "a, b"}, "/items", "wrong_type"),
        ({"items": "{{ context.input.list"}, "/items", "template_syntax"),
        ({"items": [1, "{{ }}"]}, "/items/1", "template_syntax"),
        ({"max_parallel": 0}, "/max_parallel", "out_of_range"),
        ({"max_parallel": 1_001}, "/max_parallel", "out_of_range"),
        ({"max_parallel": "{{ output }}"}, "/max_parallel", "wrong_type"),
        ({"max_parallel": None}, "/max_parallel", "wrong_type"),
        ({"stop_after": 0}, "/stop_after", "out_of_range"),
        ({"stop_after": True}, "/stop_after", "wrong_type"),
        ({"item_errors": "ignore"}, "/item_errors", "unknown_choice"),
        ({"max_iterations": 3}, "/max_iterations", "unknown_field"),
    ],
)
def test_a_faulty_field_is_named_with_its_place(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    assert configured(**config) == [(CONFIG + pointer, code)]


def test_the_nearest_field_of_the_config_is_suggested() -> None:
    config = {"items": [1], "item_error": "drop"}
    assert "'item_errors'" in said(each(step("a"), config=config))


def test_a_map_takes_no_input_but_its_items() -> None:
    problems = codes(each(step("a"), input_mapping={"x": 1}))
    assert problems == [("/steps/0/input_mapping", "unexpected_field")]
    assert codes(each(step("a"), input_mapping=None)) == []


@pytest.mark.parametrize("body", [[], None])
def test_a_map_needs_a_body(body: object) -> None:
    assert ("/steps/0", "empty_body") in codes(each(steps=body))
