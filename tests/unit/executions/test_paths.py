"""Paths: what tells the runs of bodies apart, put together and taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.paths import (
    TOP,
    container_of,
    frame_of,
    frame_path,
    name_of,
    split,
    step_path,
)

keys = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
names = keys | st.integers(0, 100_000)
frames = st.lists(st.tuples(keys, names), max_size=20)


def framed(parts: Sequence[tuple[str, str | int]]) -> str:
    frame = TOP
    for key, name in parts:
        frame = frame_path(step_path(frame, key), name)
    return frame


def test_at_the_top_a_path_is_the_key_alone() -> None:
    assert step_path(TOP, "draft") == "draft"
    assert frame_of("draft") == TOP


@pytest.mark.parametrize(
    ("frame", "key", "path"),
    [
        ("refine[2]", "draft", "refine[2]/draft"),
        ("each[17]", "score", "each[17]/score"),
        ("route[billing]", "refund", "route[billing]/refund"),
        ("a[0]/b[x]", "c", "a[0]/b[x]/c"),
    ],
)
def test_a_step_in_a_frame_is_named_by_both(frame: str, key: str, path: str) -> None:
    assert step_path(frame, key) == path
    assert frame_of(path) == frame


def test_a_frame_is_named_by_its_container_and_what_tells_it_from_others() -> None:
    frame = frame_path("a[0]/b", 12)

    assert frame == "a[0]/b[12]"
    assert (container_of(frame), name_of(frame)) == ("a[0]/b", "12")


def test_the_top_takes_apart_into_nothing() -> None:
    assert split(TOP) == []


def test_a_frame_takes_apart_from_the_top() -> None:
    assert split("a[0]/b[x_1]/c[17]") == [("a", "0"), ("b", "x_1"), ("c", "17")]


def test_the_top_has_no_container_and_no_name() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        container_of(TOP)
    with pytest.raises(ValueError, match="substring not found"):
        name_of(TOP)


def test_frames_of_different_containers_never_share_a_beginning_with_a_bracket() -> (
    None
):
    # What is inside a container is found by its path and an opening bracket.
    assert not frame_path("grow_2", 0).startswith("grow[")
    assert not step_path(frame_path("grow", 12), "a").startswith("grow[1]/")


@given(frames)
def test_what_was_put_together_is_what_is_taken_apart(
    parts: list[tuple[str, str | int]],
) -> None:
    assert split(framed(parts)) == [(key, str(name)) for key, name in parts]


@given(frames, keys, names)
def test_a_frame_leads_back_to_its_container_and_that_to_its_frame(
    parts: list[tuple[str, str | int]], key: str, name: str | int
) -> None:
    around = framed(parts)
    path = step_path(around, key)
    frame = frame_path(path, name)

    assert (container_of(frame), name_of(frame)) == (path, str(name))
    assert frame_of(path) == around
    assert frame_of(step_path(frame, "inside")) == frame


@given(st.lists(frames, min_size=2, max_size=2), keys, keys)
def test_two_places_never_have_one_path(
    places: list[list[tuple[str, str | int]]], one: str, other: str
) -> None:
    first, second = ([(key, str(name)) for key, name in parts] for parts in places)
    paths = {step_path(framed(first), one), step_path(framed(second), other)}

    assert (len(paths) == 1) == ((first, one) == (second, other))
