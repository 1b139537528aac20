"""Executions that are paused and resumed by many people while they run."""

from __future__ import annotations

import pytest

from tests.acceptance.system import step
from tests.faults.fleet import Fleet
from tests.faults.people import in_crowds

pytestmark = [pytest.mark.fault, pytest.mark.slow]

COUNT = 30
KEYS = ("first", "second", "left", "right", "last")


def test_pausing_and_resuming_under_load_loses_and_repeats_nothing(
    fleet: Fleet,
) -> None:
    # Given executions at work in both pools
    effect, waiting = fleet.role("fault.effect"), fleet.role("fault.aeffect")
    made = fleet.orchestration(
        step("first", fleet.role("fault.ahold"), input_mapping={"release": "go"}),
        step("second", effect),
        step("left", effect, parallel_group="g"),
        step("right", waiting, parallel_group="g"),
        step("last", effect),
    )
    executions = [fleet.execute(made) for _ in range(COUNT)]

    # When people pause and resume each of them, and all at once
    def steer(execution: str) -> list[int]:
        if execution == executions[4]:
            fleet.release("go")
        paths = [f"executions/{execution}/{verb}/" for verb in ("pause", "resume")]
        return [fleet.client.post(path).status_code for path in paths * 3]

    answers = in_crowds(steer, executions, people=4)
    for action in ("pause", "resume"):
        body = {"action": action, "ids": executions}
        report = fleet.post("executions/bulk/", body, status=200)
        assert {each["code"] for each in report["refused"]} <= {"already_finished"}

    # Then each is told what it did, or that it came too late
    assert {code for codes in answers for code in codes} <= {200, 409}
    assert any(codes.count(200) > 1 for codes in answers)

    # And all come to their end, every step done once
    for execution in executions:
        assert fleet.finished(execution, seconds=60)["status"] == "completed"
    assert fleet.begun() == dict.fromkeys(KEYS, COUNT)
