"""What models and tools say is kept, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executions.spending.storing import storable


@pytest.mark.parametrize(
    "value", [{"a": [1, None, "é 😀 \\u0000"]}, [], "plain", {"n": 1.5}]
)
def test_what_can_be_kept_is_kept_as_it_is(value: Any) -> None:
    assert json.loads(storable(value)) == value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a\0": "b\0c"}, {"a�": "b�c"}),
        (["x\ud83d"], ["x�"]),
        (["\udc00 😀"], ["� 😀"]),
        ({"n": float("nan")}, {"n": None}),
        ([float("inf"), "\0"], [None, "�"]),
    ],
)
def test_what_cannot_be_kept_is_replaced(value: Any, kept: Any) -> None:
    assert json.loads(storable(value)) == kept
