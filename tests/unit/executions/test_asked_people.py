"""Who may answer: named, joined by others, and told in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from executions.lifecycle import STEERING, People
from executions.states import ExecutionStatus, StepStatus
from executions.waiting import Asked, ExecutionFacts, Fleet, Kind, StepFacts, of_step

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_if_nobody_is_named_those_who_steer_may_answer() -> None:
    assert People().permissions == [STEERING]
    assert People(users=["ada"]).permissions == []
    assert People(permission="a.b c.d").permissions == ["a.b", "c.d"]


def test_who_joins_takes_no_right_away() -> None:
    nobody = People()
    joined = nobody.joined_by(People(users=["bob"], permission="a.b"))
    assert (joined.users, joined.permissions) == (["bob"], [STEERING, "a.b"])
    both = People(groups=["x"]).joined_by(People(groups=["x", "y"]))
    assert (both.groups, both.permissions) == (["x", "y"], [])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"users": ["ada"]}, "user 'ada'"),
        ({"users": ["ada", "bob"]}, "users 'ada', 'bob'"),
        ({"groups": ["ops"], "users": ["ada"]}, "user 'ada' or group 'ops'"),
        ({"permissions": ["a.b"]}, "everybody with 'a.b'"),
        ({"steering": True}, "whoever may steer the execution"),
    ],
)
def test_a_step_that_asks_waits_for_people(asked: dict[str, Any], words: str) -> None:
    step = StepFacts(
        key="ask", status=StepStatus.WAITING, asked=Asked(since=NOW, **asked)
    )
    execution = ExecutionFacts(status=ExecutionStatus.WAITING)
    answer = of_step(step, execution, Fleet(now=NOW))
    assert answer is not None
    assert (answer.kind, answer.since) == (Kind.APPROVAL, NOW)
    assert answer.detail == f"An answer to step 'ask' is due from {words}."


def test_a_step_that_asks_is_held_by_a_pause() -> None:
    step = StepFacts(key="ask", status=StepStatus.WAITING, asked=Asked(since=NOW))
    execution = ExecutionFacts(status=ExecutionStatus.PAUSED)
    answer = of_step(step, execution, Fleet(now=NOW))
    assert answer is not None
    assert answer.kind is Kind.PAUSED
