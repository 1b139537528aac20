"""Fail-points: what CORE_FAIL_AT says, and how often it happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from executions.failpoints import BadFailPoint, FailPoint, Failure, parse


def test_an_entry_names_point_step_action_and_times() -> None:
    (one,) = parse("after_claim@second:stall=2.5*3")

    assert one == Failure(
        point="after_claim", step="second", action="stall", seconds=2.5, times=3
    )


def test_entries_are_separated_by_commas() -> None:
    assert [one.action for one in parse("in_beat:raise, after_commit:kill,")] == [
        "raise",
        "kill",
    ]


@pytest.mark.parametrize(
    "text", ["nowhere:kill", "after_claim", "after_claim:explode", "after_claim:kill*x"]
)
def test_what_cannot_be_read_is_refused_with_the_points_that_there_are(
    text: str,
) -> None:
    with pytest.raises(BadFailPoint, match="after_claim"):
        parse(text)


def test_a_point_may_belong_to_one_step() -> None:
    (one,) = parse("after_claim@second:raise")

    assert not one.happens("first")
    assert one.happens("second")


def test_what_happens_a_number_of_times_is_counted_for_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORE_FAIL_DIR", str(tmp_path))
    here, elsewhere = parse("after_claim:kill*2"), parse("after_claim:kill*2")

    assert [one.happens(None) for one in (*here, *elsewhere, *here)] == [
        True,
        True,
        False,
    ]


def test_raising_says_where() -> None:
    (one,) = parse("after_claim:raise")

    with pytest.raises(FailPoint, match="after_claim"):
        one.do()
