from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.runners import RunnerError
from roles.runners.results import MAX_DEPTH, to_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_values_come_back_unchanged(value):
    assert to_json(value) == value
    assert json.loads(json.dumps(to_json(value))) == value


def test_tuples_become_lists_and_subclasses_become_plain():
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    point = namedtuple("point", "x y")
    plain = to_json(OrderedDict(a=(1, 2), b=Colour.RED, c=Level.HIGH, d=point(1, 2)))

    assert plain == {"a": [1, 2], "b": "red", "c": 3, "d": [1, 2]}
    assert [type(item) for item in plain.values()] == [list, str, int, list]
    assert type(plain) is dict


class Custom:
    pass


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "datetime"),
        (decimal.Decimal("1.5"), "Decimal"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (uuid.UUID(int=1), "UUID"),
        (Custom(), "Custom"),
        (iter([1]), "list_iterator"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        ("a\0b", "NUL"),
        ("\ud83d", "surrogate"),
        pytest.param(10**5000, "too large", id="huge"),
        ({1: "a"}, "the key 1 is not a string"),
        ({None: "a"}, "the key None is not a string"),
        ({"a\0": 1}, "NUL"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value, what):
    with pytest.raises(RunnerError) as caught:
        to_json({"items": [0, {"when": value}]})

    assert "/items/1/when: " in caught.value.message
    assert what in caught.value.message
    assert (caught.value.type, caught.value.retryable) == ("not_json", False)


def test_a_place_is_a_proper_pointer():
    with pytest.raises(RunnerError, match="/a~1b/c~0d: set"):
        to_json({"a/b": {"c~d": set()}})


def test_the_whole_value_can_be_the_culprit():
    with pytest.raises(RunnerError, match="The result is not JSON: /: set"):
        to_json(set())


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_is_limited():
    assert to_json(nested(MAX_DEPTH)) == nested(MAX_DEPTH)

    with pytest.raises(RunnerError, match="nested more than 50 deep"):
        to_json(nested(MAX_DEPTH + 1))


def test_a_circle_is_named_as_such():
    circle = {"a": []}
    circle["a"].append(circle)

    with pytest.raises(RunnerError, match="/a/0: a value that contains itself"):
        to_json(circle)


def test_one_value_may_stand_in_two_places():
    shared = [1]

    assert to_json([shared, shared]) == [[1], [1]]
