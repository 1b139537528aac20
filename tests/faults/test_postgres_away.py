"""A PostgreSQL that stops at once and comes back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.acceptance.system import step, until
from tests.faults.fleet import Fleet, watch

pytestmark = [pytest.mark.fault, pytest.mark.slow]


def test_no_step_fails_because_postgres_was_away_for_twenty_seconds(
    fleet: Fleet,
) -> None:
    # Given executions of which steps start, run and commit at every moment
    cpu, io = fleet.role("fault.pause"), fleet.role("fault.apause")
    made = fleet.orchestration(
        step("a", cpu),
        step("b", io),
        step("c", cpu, parallel_group="g"),
        step("d", io, parallel_group="g"),
        step("e", cpu),
        step("f", io),
    )
    executions = [fleet.execute(made) for _ in range(30)]
    until(lambda: fleet.seen("end", "f"), what="an execution near its end")

    # When PostgreSQL stops in the middle of it, for longer than any lease
    fleet.halt_postgres()
    refused = fleet.client.get("executions/")
    watch(20)
    fleet.postgres.start()

    # Then clients were told to come back, and every execution completes
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    ended = [fleet.finished(each, seconds=120) for each in executions]
    assert {each["status"] for each in ended} == {"completed"}
    assert failures(fleet) == []


def test_what_was_answered_before_postgres_crashed_is_there_after_it(
    fleet: Fleet,
) -> None:
    # Given clients who start executions one after the other
    made = fleet.orchestration(step("only", fleet.role("fault.effect")))
    accepted = [fleet.execute(made) for _ in range(10)]

    # When PostgreSQL crashes right after an answer, and comes back
    fleet.halt_postgres()
    with pytest.raises((AssertionError, httpx.HTTPError)):
        fleet.client.get(f"executions/{accepted[0]}/").raise_for_status()
    fleet.postgres.start()

    # Then all that was accepted runs
    ended = [fleet.finished(each, seconds=60) for each in accepted]
    assert {each["status"] for each in ended} == {"completed"}


def failures(fleet: Fleet) -> list[tuple[Any, ...]]:
    """What counts as a step's own failure, unlike a worker that was lost."""
    return fleet.query(
        "SELECT v.type, v.path, v.data FROM executions_event v "
        "JOIN executions_execution e ON e.id = v.execution_id "
        "WHERE e.created_at >= %s AND (v.type = 'step.failed' "
        "OR v.type = 'step.retrying' AND v.data->>'type' <> 'worker_lost')",
        fleet.since,
    )
