"""How an execution ends: when nothing is left, or because a step says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.bodies import by_path
from tests.patterns.patterns import Pattern

pytestmark = pytest.mark.acceptance
Make = Callable[[str], Pattern]


def test_an_implicit_termination_comes_when_nothing_is_left(pattern: Make) -> None:
    implicit = pattern("implicit_termination")
    execution = implicit.start()

    implicit.have_begun("slow")
    implicit.have_ended("quick")
    assert implicit.system.execution(execution)["finished_at"] is None
    implicit.release()

    ended = implicit.completed(execution)
    assert set(by_path(ended, "status").values()) == {"completed"}
    assert implicit.in_this_order("end quick", "end slow", "end behind_slow")


def test_an_explicit_termination_ends_whatever_is_under_way(pattern: Make) -> None:
    explicit = pattern("explicit_termination")
    execution = explicit.start()

    explicit.have_begun("quick", "slow")
    explicit.release("Colleague")

    ended = explicit.completed(execution)
    assert ended["output"] == "ended by hand"
    assert by_path(ended, "status") == {
        "both": "cancelled",
        "both[quick]/quick": "completed",
        "both[quick]/end": "completed",
        "both[slow]/slow": "cancelled",
    }
    explicit.have_ended("slow")
    assert sorted(explicit.begun) == ["quick", "slow"]
