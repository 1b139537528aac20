"""What is done again: loops, and orchestrations that run themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.bodies import by_path, paths
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]


@pytest.mark.parametrize(
    ("turns", "before", "after"), [(0, 0, 1), (1, 1, 1), (3, 3, 3)]
)
def test_a_structured_loop_is_asked_before_or_after_each_turn(
    pattern: Make, turns: int, before: int, after: int
) -> None:
    loops = pattern("structured_loop")

    ended = loops.run(turns=turns)

    assert loops.begun == ["asked_before"] * before + ["asked_after"] * after
    assert loops.begun == loops.spans.ended
    assert loops.spans.most_at_once == 1
    assert paths(ended) == [
        "before",
        *(f"before[{n}]/asked_before" for n in range(before)),
        "after",
        *(f"after[{n}]/asked_after" for n in range(after)),
    ]


def test_a_recursion_takes_itself_apart_and_comes_back(pattern: Make) -> None:
    recursion = pattern("recursion")

    ended = recursion.run(depth=3)

    assert recursion.begun == [
        *("3", "2", "1"),
        *("back in 1", "back in 2", "back in 3"),
    ]
    depth = 1
    while below := recursion.children(ended["id"]):
        (ended,) = below
        assert ended["status"] == "completed"
        depth += 1
    assert depth == 3
    assert by_path(ended, "status")["deeper"] == "skipped"
