"""As many steps as are allowed, one after the other and all at a time."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.acceptance.system import TERMINAL, step, until
from tests.faults.fleet import Fleet

pytestmark = [pytest.mark.fault, pytest.mark.slow]

MOST = 10_000
PATIENCE_S = 240.0


def test_a_thousand_steps_at_a_time_and_a_thousand_in_a_row_come_to_their_end(
    fleet: Fleet,
) -> None:
    # Given a group of a thousand, and a thousand after it
    role = fleet.role("text.upper")
    group = [member(role, place, parallel_group="g") for place in range(1_000)]
    row = [member(role, 1_000 + place) for place in range(1_000)]

    # When it is executed, then each step is done once
    assert carried_out(fleet, *group, *row) == ("completed", 2_000, 2_000, 1)


def test_a_group_of_ten_thousand_comes_to_its_end(fleet: Fleet) -> None:
    # Given a group of as many steps as an orchestration may have
    role = fleet.role("text.upper")
    group = [member(role, place, parallel_group="g") for place in range(MOST)]

    # When it is executed, then each step is done once
    assert carried_out(fleet, *group) == ("completed", MOST, MOST, 1)


def member(role: str, place: int, **fields: Any) -> dict[str, Any]:
    return step(f"s{place}", role, input_mapping="x", **fields)


def carried_out(fleet: Fleet, *steps: dict[str, Any]) -> tuple[Any, ...]:
    """
    Execute steps; return the end, how many runs there are and were completed, and
    the most attempts that one took. The web process answers quickly all the time.
    """
    made = fleet.orchestration(*steps)
    path = f"orchestrations/{made['id']}/execute/"
    answer = fleet.client.post(path, json={}, timeout=120)
    assert answer.status_code == 202
    execution = answer.json()["id"]

    def ended() -> str | None:
        began = time.monotonic()
        httpx.get(f"http://127.0.0.1:{fleet.port}/healthz").raise_for_status()
        assert time.monotonic() - began < 5
        ((status,),) = fleet.query(
            "SELECT status FROM executions_execution WHERE id = %s", execution
        )
        return status if status in TERMINAL else None

    status = until(ended, seconds=PATIENCE_S, what="the end")
    ((runs, completed, attempts),) = fleet.query(
        "SELECT count(*), count(*) FILTER (WHERE status = 'completed'), max(attempt) "
        "FROM executions_steprun WHERE execution_id = %s",
        execution,
    )
    return status, runs, completed, attempts
