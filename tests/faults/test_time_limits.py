"""Steps that ignore their time limit, on each pool."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.processes import CPU_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]

LIMIT_S, WORK_S, GRACE_S = 2.0, 12.0, 5.0


@pytest.mark.parametrize(
    ("function", "quick"),
    [
        ("fault.deaf", "fault.pause"),  # a pool of processes
        ("fault.adeaf", "fault.apause"),  # threads and one event loop
        ("fault.block", "fault.apause"),  # which this one blocks
    ],
)
def test_a_step_that_ignores_its_time_limit_is_timed_out_and_frees_its_slot(
    fleet: Fleet, function: str, quick: str
) -> None:
    # Given a step that goes on long after its limit
    fleet.kill(CPU_2)
    deaf = step(
        "deaf",
        fleet.role(function),
        timeout_ms=int(LIMIT_S * 1000),
        input_mapping={"seconds": WORK_S},
    )
    execution = fleet.execute(fleet.orchestration(deaf))

    # When its time is over
    ended = fleet.finished(execution, seconds=30)

    # Then it has timed out, soon after its deadline
    log = logs_by_key(ended)["deaf"]
    assert (ended["status"], log["status"]) == ("failed", "timed_out")
    assert log["error"]["type"] == "timed_out"
    assert LIMIT_S <= seconds(log) < LIMIT_S + GRACE_S

    # And all slots of its worker are free for others
    others = fleet.orchestration(
        *(step(f"q{n}", fleet.role(quick), parallel_group="g") for n in range(4))
    )
    assert fleet.finished(fleet.execute(others), seconds=10)["status"] == "completed"

    # And what it may still come to is not recorded any more
    if function != "fault.deaf":  # whose process has ended with it
        until(lambda: fleet.seen("end", "deaf"), what="a late result")
    assert fleet.execution(execution) == ended


def seconds(log: dict[str, str]) -> float:
    start, end = log["started_at"], log["finished_at"]
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
