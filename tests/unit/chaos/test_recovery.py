"""From the events, how long it took until what was struck went on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.faults import Hit
from tests.chaos.plan import Fault
from tests.chaos.recovery import Happened, History

START = datetime(2030, 1, 1, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def events(*told: tuple[float, str, str | None]) -> History:
    return History.of(Happened("x", path, kind, moment(at)) for at, kind, path in told)


def hit(kind: str, **more: Any) -> Hit:
    """A fault that struck at second 10 and was over at second 15."""
    fault = Fault(at=0, kind=kind, seconds=5, pick=0)
    return Hit(fault=fault, target="it", began=moment(10), returned=moment(15), **more)


STEP = {"steps": frozenset({("x", "a")})}
EXECUTION = {"executions": frozenset({"x"})}
RAN = (1.0, "step.started", "a")


@pytest.mark.parametrize(
    "next_event",
    ["step.started", "step.completed", "step.needs_attention", "step.failed"],
)
def test_a_killed_step_has_recovered_when_it_runs_again_or_is_settled(
    next_event: str,
) -> None:
    history = events(RAN, (22, "step.retrying", "a"), (23.5, next_event, "a"))

    found = history.recoveries(hit("kill_worker", **STEP))

    assert (found.seconds, found.missing) == ([13.5], [])


def test_what_never_went_on_is_missing() -> None:
    history = events(RAN, (22, "step.retrying", "a"), (23, "step.started", "b"))

    found = history.recoveries(hit("kill_child", **STEP))

    assert (found.seconds, found.missing) == ([], ["step a of execution x"])


def test_the_end_of_its_execution_settles_a_step() -> None:
    history = events(RAN, (12, "execution.failed", None))

    assert history.recoveries(hit("kill_worker", **STEP)).seconds == [2.0]


@pytest.mark.parametrize(
    "before",
    [(9.9, "step.completed", "a"), (12, "execution.paused", None)],
    ids=["ended just before", "somebody paused it"],
)
def test_what_was_not_struck_or_is_not_to_go_on_does_not_count(
    before: tuple[float, str, str | None],
) -> None:
    found = events(RAN, before).recoveries(hit("kill_worker", **STEP))

    assert (found.seconds, found.missing) == ([], [])


def test_lost_messages_count_from_the_brokers_return_to_the_next_start() -> None:
    history = events(RAN, (16, "step.completed", "a"), (18, "step.started", "b"))

    assert history.recoveries(hit("wipe_valkey", **EXECUTION)).seconds == [3.0]


def test_an_execution_that_ended_before_the_brokers_return_lost_nothing() -> None:
    history = events(
        RAN, (12, "step.completed", "a"), (12, "execution.completed", None)
    )

    found = history.recoveries(hit("wipe_valkey", **EXECUTION))

    assert (found.seconds, found.missing) == ([], [])


def test_a_database_has_recovered_with_the_first_outcome_of_any_step() -> None:
    history = events((15.5, "step.started", "b"), (17, "step.completed", "b"))

    assert history.recoveries(hit("stop_postgres")).seconds == [2.0]
    assert events(RAN).recoveries(hit("stop_postgres")).missing == ["any step"]


def test_web_has_recovered_when_it_answers() -> None:
    assert events().recoveries(hit("kill_web")).seconds == [5.0]
