"""Definitions are parsed with their defaults and written back in full."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.definition import Definition, Step, parse, to_json
from core_orchestration.keys import RESERVED_KEYS, slug, step_keys, walk


def test_fields_that_are_left_out_get_their_defaults() -> None:
    definition = parse({"steps": [{"name": "Fetch the news!", "role_name": "reader"}]})
    assert definition == Definition(
        steps=(Step(key="fetch_the_news", name="Fetch the news!", role_name="reader"),)
    )


def test_a_name_defaults_to_the_key() -> None:
    (step,) = parse({"steps": [{"key": "a"}]}).steps
    assert step.name == "a"


def test_steps_run_by_order_and_by_position_where_orders_are_equal() -> None:
    steps = [
        {"key": "c", "order": 9},
        {"key": "a", "order": -1},
        {"key": "b"},
        {"key": "d", "order": 9},
    ]
    definition = parse({"steps": steps})
    assert [step.key for step in definition.steps] == ["a", "b", "c", "d"]


def test_orders_counted_from_one_mix_with_missing_ones() -> None:
    steps = [{"key": "a", "order": 1}, {"key": "b"}, {"key": "c", "order": 3}]
    assert [step.key for step in parse({"steps": steps}).steps] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Fetch", "fetch"),
        ("  Fetch -- it! ", "fetch_it"),
        ("Übersicht №1", "ubersicht_no1"),
        ("2nd try", "step_2nd_try"),
        ("日本", "step"),
        ("", "step"),
        (None, "step"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_key_is_made_of_the_name(name: str | None, key: str) -> None:
    assert slug(name) == key


def test_keys_made_of_names_are_unique_and_never_take_one_that_was_given() -> None:
    steps = [{"name": "A"}, {"name": "a"}, {"key": "a_2"}, {"name": "Input"}]
    assert step_keys(steps) == ["a", "a_3", "a_2", "input_2"]


def test_long_names_stay_within_the_length_when_numbered() -> None:
    keys = step_keys([{"name": "x" * 100}] * 3)
    assert len(set(keys)) == 3
    assert max(map(len, keys)) == 64


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_no_key_is_made_of_a_reserved_word(key: str) -> None:
    assert step_keys([{"name": key}]) == [f"{key}_2"]


def test_nested_steps_share_one_name_space_and_are_sorted_too() -> None:
    body = [{"name": "a", "order": 2}, {"name": "b", "order": 1}]
    outer = {"name": "a", "step_type": "loop", "steps": body}
    (step, last) = parse({"steps": [outer, {"name": "a"}]}).steps
    assert [inner.key for inner in step.steps] == ["b", "a_2"]
    assert (step.key, last.key) == ("a", "a_3")


@pytest.mark.parametrize(
    "steps", [None, 3, "ab", {}, [1, None, []], [{"steps": {"a": 1}}]]
)
def test_asking_for_the_keys_of_nonsense_is_harmless(steps: object) -> None:
    assert step_keys(steps) in ([], ["step"])


def test_fields_for_people_and_clients_are_passed_over() -> None:
    document = {"id": "1", "name": "x", "tags": [], "steps": [{"key": "a", "id": "9"}]}
    assert parse(document) == Definition(steps=(Step(key="a", name="a"),))


def test_the_snapshot_is_complete_and_reads_back_equal() -> None:
    definition = parse(
        {
            "steps": [
                {"name": "B", "order": 2, "retry_backoff": 2},
                {"name": "A", "order": 1, "steps": [{"name": "C"}], "config": {"x": 1}},
            ],
            "input_schema": {"type": "object"},
            "timeout_ms": 5,
            "output": {"r": "{{ output }}"},
        }
    )
    snapshot = to_json(definition)
    assert parse(snapshot) == definition
    assert to_json(parse(snapshot)) == snapshot
    assert set(snapshot["steps"][0]) == set(Step.__dataclass_fields__)


LIMITS = {"total_timeout_ms": 9, "queue_timeout_ms": 7, "at_most_once": True}


def test_a_steps_limits_are_kept() -> None:
    outer = {"key": "a", **LIMITS, "steps": [{"key": "b", **LIMITS}]}
    definition = parse({"steps": [outer]})
    (step,) = definition.steps
    for each in (step, *step.steps):
        assert {name: getattr(each, name) for name in LIMITS} == LIMITS
    assert parse(to_json(definition)) == definition


def test_a_snapshot_from_before_the_limits_reads_as_without_any() -> None:
    definition = parse({"steps": [{"key": "a", "steps": [{"key": "b"}]}]})
    snapshot = to_json(definition)
    for step in walk(snapshot["steps"]):
        assert [step[name] for name in LIMITS] == [None, None, False]
    assert parse(without_limits(snapshot)) == definition


def without_limits(document: dict[str, Any]) -> dict[str, Any]:
    """Write a document, or a step, as releases before the limits did."""
    kept = {name: value for name, value in document.items() if name not in LIMITS}
    return {**kept, "steps": [without_limits(step) for step in document["steps"]]}


def test_neighbours_of_a_group_form_one_block() -> None:
    groups = [None, "g", "g", "h", None, None]
    steps = [{"key": f"s{i}", "parallel_group": g} for i, g in enumerate(groups)]
    blocks = parse({"steps": steps}).blocks
    assert [[step.key for step in block.steps] for block in blocks] == [
        ["s0"],
        ["s1", "s2"],
        ["s3"],
        ["s4"],
        ["s5"],
    ]
    assert [block.is_group for block in blocks] == [False, True, True, False, False]
    assert [list(block.ordinals) for block in blocks] == [[0], [1, 2], [3], [4], [5]]
