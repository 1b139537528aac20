"""What cannot be stored is named with its place, whatever stands around it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from roles.storable import MAX_DEPTH, MAX_SHOWN, storable_problems

CLUTTER: list[Any] = [0, "text", None, 1.5, True, [], {}, [1, {"x": [2]}]]


def nested(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = [inner]
    return inner


def places(value: Any) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in storable_problems(value)]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("a\0b", "nul_character"),
        ("\ud800", "lone_surrogate"),
        (float("nan"), "not_a_number"),
        (float("-inf"), "not_a_number"),
        (2**1024, "number_too_large"),
        (-(2**1024), "number_too_large"),
        (b"bytes", "not_json"),
        ({1, 2}, "not_json"),
    ],
)
def test_a_fault_is_found_among_much_that_is_sound(fault: Any, code: str) -> None:
    value = {"a": CLUTTER, "b/c": [*CLUTTER, {"d": [*CLUTTER, fault, 1]}], "e": CLUTTER}

    assert places(value) == [("/b~1c/8/d/8", code)]
    assert places(fault) == [("", code)]
    assert places([0] * 5_000 + [fault]) == [("/5000", code)]


@pytest.mark.parametrize(
    ("name", "pointer", "code"),
    [
        ("\0", "/a/1/\ufffd", "invalid_text"),
        ("\ud800", "/a/1/?", "invalid_text"),
        (5, "/a/1/5", "not_json"),
        (None, "/a/1/None", "not_json"),
    ],
)
def test_a_name_that_cannot_be_stored(name: Any, pointer: str, code: str) -> None:
    assert places({"a": [{"x": 1}, {"y": 1, name: 2}]}) == [(pointer, code)]


def test_faults_of_all_levels_are_found_at_once() -> None:
    value = ["\0", [1, "\0", ["\0"]], {"a": "\0", "b": ["\0"]}]

    assert sorted(pointer for pointer, _ in places(value)) == [
        "/0",
        "/1/1",
        "/1/2/0",
        "/2/a",
        "/2/b/0",
    ]


def test_depth_is_limited_and_named_first() -> None:
    assert places(nested(MAX_DEPTH, [])) == []
    assert places(nested(MAX_DEPTH, [1])) == [("/0" * MAX_DEPTH, "too_deep")]
    assert places(["\0"] * 200 + nested(MAX_DEPTH + 5, 1))[0][1] == "too_deep"


def test_a_value_that_holds_itself_is_too_deep() -> None:
    circle: dict[str, Any] = {}
    circle["a"] = circle

    assert places(circle) == [("/a" * MAX_DEPTH, "too_deep")]


def test_a_value_that_holds_itself_twice_has_too_many_values() -> None:
    circle: list[Any] = []
    circle += [circle, circle]

    assert places(circle) == [("", "too_many_values")]


def test_faults_are_bounded_in_number() -> None:
    assert len(places(["\0"] * 5_000)) == MAX_SHOWN


def test_relatives_of_the_plain_types_are_stored_too() -> None:
    assert places({"a": (1, 2), "b": MappingProxyType({"c": ("x",)})}) == []
    assert places(MappingProxyType({"a": (1, "\0")})) == [("/a/1", "nul_character")]
