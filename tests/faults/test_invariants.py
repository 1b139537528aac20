"""The checker itself: a stranger may ask whether it would notice."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from tests.acceptance.bodies import each, inner
from tests.acceptance.sink import Effect
from tests.acceptance.system import step
from tests.faults import invariants
from tests.faults.fleet import Fleet
from tests.faults.replay import Event, Replay

pytestmark = pytest.mark.fault

BLOCKS = [{"first"}, {"left", "right"}, {"last"}]
ALL = ("first", "left", "right", "last")


def started(path: str, attempt: int = 1) -> Event:
    return Event("step.started", path, {"attempt": attempt})


def done(path: str) -> Event:
    return Event("step.completed", path, {})


def told(kind: str, path: str | None = None) -> Event:
    return Event(kind, path, {})


def well(*paths: str) -> list[Event]:
    return [event for path in paths for event in (started(path), done(path))]


def problems(*events: Event) -> list[str]:
    return list(Replay(BLOCKS).problems(events))


def test_a_run_in_order_has_no_problems() -> None:
    assert problems(*well(*ALL), told("execution.completed")) == []


def test_lost_and_retried_attempts_are_no_problem() -> None:
    again = [started("first"), told("step.retrying", "first"), started("first", 2)]
    assert problems(*again, done("first")) == []


def test_a_failed_execution_may_be_retried_from_a_step_that_was_reset() -> None:
    failed = [started("first"), told("step.failed", "first"), told("execution.failed")]
    retried = [told("execution.retried"), told("step.reset", "first")]
    rest = [started("first", 2), done("first"), *well("left", "right", "last")]
    assert problems(*failed, *retried, *rest, told("execution.completed")) == []


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([*well("first"), done("first")], "step first ended twice"),
        ([*well("first"), started("first", 2)], "first started after its own"),
        ([started("left")], "step left started before first had ended"),
        ([*well("first", "left"), started("last")], "last started before right had"),
        ([started("first"), started("first")], "step first started attempt 1 twice"),
        (
            [*well(*ALL), told("execution.completed"), told("execution.failed")],
            "ended twice: execution.completed, then execution.failed",
        ),
        (
            [told("execution.cancelled"), started("first")],
            "step first started after execution.cancelled",
        ),
    ],
)
def test_what_must_not_follow_is_told(events: list[Event], problem: str) -> None:
    found = problems(*events)
    assert any(problem in each for each in found), found


BODIES: dict[str, list[tuple[str | None, set[str]]]] = {
    "m": [(None, {"a"}), (None, {"b"})],
    "way": [("x", {"a"}), ("y", {"b"})],
}


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([started("m"), *well("m[0]/a", "m[1]/a", "m[0]/b", "m[1]/b")], None),
        ([started("way"), *well("way[y]/b")], None),
        (well("@unwind[1]/tell"), None),
        (well("m[0]/a"), "step m[0]/a started, m around it did not"),
        (
            [started("m"), done("m"), started("m[0]/a")],
            "step m[0]/a started after m around it had ended",
        ),
        (
            [started("m"), *well("m[0]/a"), started("m[1]/b")],
            "step m[1]/b started before m[1]/a had ended",
        ),
    ],
)
def test_what_must_not_follow_in_a_body_is_told(
    events: list[Event], problem: str | None
) -> None:
    found = list(Replay([{"m"}, {"way"}], BODIES).problems(events))
    found = [each for each in found if "step way started before m" not in each]
    assert found == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        (
            "UPDATE executions_steprun SET status = 'waiting', finished_at = NULL "
            "WHERE path = 'all[1]'",
            "is over, but frame all[1] is waiting",
        ),
        (
            "UPDATE executions_steprun SET heard = false WHERE path = 'all[0]'",
            "nobody has heard of the end of frame all[0]",
        ),
        (
            "UPDATE executions_steprun SET worker = id WHERE path = 'all[0]'",
            "all[0] is completed and has a worker",
        ),
        (
            "UPDATE executions_steprun SET started_at = started_at + interval '1 hour' "
            "WHERE path = 'all[1]/only'",
            "all[1]/only began after its frame had ended",
        ),
        (
            "UPDATE executions_execution SET status = 'running', finished_at = NULL; "
            "UPDATE executions_steprun SET status = 'waiting', finished_at = NULL "
            "WHERE path IN ('all', 'all[1]')",
            "is running and waits for nothing nameable",
        ),
    ],
)
def test_frames_that_were_tampered_with_are_noticed(
    fleet: Fleet, tampering: LiteralString, problem: str
) -> None:
    # Given a map that ended well
    only = inner("only", fleet.role("fault.effect"))
    fleet.finished(fleet.execute(fleet.orchestration(each("all", [1, 2], only))))
    assert fleet.violations(lost_nothing=True) == []

    # When somebody writes into the record what cannot be (and undoes it again)
    with psycopg.connect(fleet.env["DATABASE_URL"]) as connection:
        connection.execute(tampering)
        stories = invariants.read_from(connection, fleet.since)
        connection.rollback()

    # Then the checker says so
    found = invariants.violations_of(stories, lost_nothing=True)
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        (
            "UPDATE executions_steprun SET attempt = 99 WHERE key = 'only'",
            "step only was attempted 99 times, 4 allowed",
        ),
        (
            "UPDATE executions_steprun SET status = 'running', worker = id, "
            "attempt_deadline = now(), started_at = now() - interval '1 hour'",
            "is over, but step only is running",
        ),
        (
            "UPDATE executions_execution SET status = 'running', finished_at = NULL",
            "is running and waits for nothing nameable (only completed)",
        ),
        ("UPDATE executions_execution SET resends = 1", "was sent again 1 times"),
        (
            "INSERT INTO executions_event (execution_id, type, path) "
            "SELECT id, 'step.completed', 'only' FROM executions_execution",
            "step only ended twice",
        ),
        ("DELETE FROM executions_steprun", "is completed without step only"),
    ],
)
def test_a_record_that_was_tampered_with_is_noticed(
    fleet: Fleet, tampering: LiteralString, problem: str
) -> None:
    # Given an execution that ended well
    made = fleet.orchestration(step("only", fleet.role("fault.effect")))
    fleet.finished(fleet.execute(made))
    assert fleet.violations(lost_nothing=True) == []

    # When somebody writes into the record what cannot be (and undoes it again)
    with psycopg.connect(fleet.env["DATABASE_URL"]) as connection:
        connection.execute(tampering)
        stories = invariants.read_from(connection, fleet.since)
        connection.rollback()

    # Then the checker says so
    found = invariants.violations_of(stories, lost_nothing=True)
    assert any(problem in each for each in found), found


def test_an_effect_under_another_key_is_noticed(fleet: Fleet) -> None:
    # Given a step whose effect was seen
    made = fleet.orchestration(step("only", fleet.role("fault.effect")))
    fleet.finished(fleet.execute(made))
    (seen,) = fleet.seen("begin", "only")

    # When the outside sees it under another key as well
    fleet.sink.effects.append(Effect(path=seen.path, key="another", body=seen.body))

    # Then the checker says so
    (problem,) = fleet.violations()
    assert "reached the outside with key another" in problem
    fleet.sink.effects.pop()
