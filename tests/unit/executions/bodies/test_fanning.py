"""Fans: whatever the order in which frames end, the rules of the step are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.bodies import Decision, EndedFrame, Finish, NewFrame
from executions.bodies.fanning import Fan
from tests.unit.executions.bodies.scenes import completed, failed


def frames(count: int) -> list[NewFrame]:
    return [NewFrame(name=n, number=n, given={}) for n in range(count)]


@dataclass
class Fanned:
    """One step that fans out: what it has decided, and what is under way."""

    fan: Fan
    total: int
    names: list[str] | None = None
    started: list[Any] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)
    state: Any = None
    finish: Finish | None = None

    def begin(self) -> None:
        self._follow(self.fan.begin(self._made()))

    def hear(self, *ended: EndedFrame) -> None:
        self.under_way -= {frame.number for frame in ended}
        self._follow(self.fan.hear(self.state, ended, self.names))

    def _made(self) -> list[NewFrame]:
        if self.names is None:
            return frames(self.total)
        return [
            NewFrame(name=name, number=number, given={})
            for number, name in enumerate(self.names)
        ]

    def _follow(self, decision: Decision) -> None:
        self.started += decision.start
        places: list[Any] = list(self.names or range(self.total))
        self.under_way |= {places.index(name) for name in decision.start}
        self.state, self.finish = decision.state, decision.finish


@given(st.data())
def test_a_fan_keeps_its_rules_in_whatever_order_frames_end(
    data: st.DataObject,
) -> None:
    total = data.draw(st.integers(1, 30), label="total")
    window = data.draw(st.none() | st.integers(1, 35), label="window")
    enough = data.draw(st.none() | st.integers(1, 35), label="enough")
    forgiving = data.draw(st.booleans(), label="forgiving") or enough is not None
    named = data.draw(st.booleans(), label="named")
    fails = data.draw(st.sets(st.integers(0, total - 1)), label="fails")
    names = [f"branch {n}" for n in range(total)] if named else None
    step = Fanned(Fan(window=window, enough=enough, forgiving=forgiving), total, names)
    places: list[Any] = list(names or range(total))
    successes = failures = 0

    step.begin()

    while step.finish is None:
        # never more at a time, each once, in order, and as many as may be
        assert len(step.under_way) <= (window or total)
        assert step.started == places[: len(step.started)]
        left = total - len(step.started)
        assert len(step.under_way) == min(window or total, len(step.under_way) + left)
        assert step.under_way, "nothing is under way, and it has not ended"
        assert not _is_over(total, successes, failures, enough, forgiving)
        open_ones = sorted(step.under_way)
        some = data.draw(
            st.lists(st.sampled_from(open_ones), min_size=1, unique=True), label="end"
        )
        step.hear(*(failed(n) if n in fails else completed(n) for n in sorted(some)))
        failures += sum(n in fails for n in some)
        successes += sum(n not in fails for n in some)

    assert _is_over(total, successes, failures, enough, forgiving)
    well = successes >= enough if enough is not None else forgiving or not failures
    assert step.finish.gathered == well
    assert (step.finish.error is None) == well


def _is_over(
    total: int, successes: int, failures: int, enough: int | None, forgiving: bool
) -> bool:
    """Say so after at least one frame has ended."""
    if not successes and not failures:
        return False
    if failures and not forgiving:
        return True
    if enough is None:
        return successes + failures == total
    return successes >= enough or total - failures < enough


@given(st.integers(1, 40), st.integers(1, 45))
def test_all_frames_are_made_at_once_and_a_window_of_them_started(
    total: int, window: int
) -> None:
    decision = Fan(window=window, enough=None, forgiving=False).begin(frames(total))

    assert len(decision.make) == total
    assert list(decision.start) == list(range(min(window, total)))


def test_frames_that_ended_together_make_room_for_as_many() -> None:
    step = Fanned(Fan(window=4, enough=None, forgiving=True), 20)
    step.begin()

    step.hear(completed(0), failed(2), completed(3))

    assert step.started == [0, 1, 2, 3, 4, 5, 6]
    assert len(step.under_way) == 4


def test_no_more_start_than_there_are() -> None:
    step = Fanned(Fan(window=3, enough=None, forgiving=True), 4)
    step.begin()

    step.hear(completed(0), completed(1), completed(2))

    assert (step.started, step.finish) == ([0, 1, 2, 3], None)


def test_an_end_starts_nothing_more() -> None:
    step = Fanned(Fan(window=1, enough=1, forgiving=True), 4)
    step.begin()

    step.hear(completed(0))

    assert (step.started, step.finish) == ([0], Finish(gathered=True))


def test_a_failure_that_counts_starts_nothing_more() -> None:
    step = Fanned(Fan(window=1, enough=None, forgiving=False), 4)
    step.begin()

    step.hear(failed(0, "why"))

    assert step.started == [0]
    assert step.finish == Finish(error={"type": "bad", "message": "why"})


@pytest.mark.parametrize("ended", [completed(0), failed(0)])
def test_more_than_there_are_can_never_be_enough(ended: EndedFrame) -> None:
    step = Fanned(Fan(window=1, enough=5, forgiving=True), 4)
    step.begin()

    step.hear(ended)

    assert step.finish is not None
    assert step.finish.error is not None
    assert step.finish.error["type"] == "too_few_succeeded"


def test_what_is_kept_in_mind_does_not_grow_with_the_frames() -> None:
    fan = Fan(window=2, enough=None, forgiving=True)

    states = [fan.begin(frames(total)).state for total in (2, 10_000)]

    assert [len(state or {}) for state in states] == [4, 4]
    assert all(isinstance(value, int) for s in states for value in (s or {}).values())
