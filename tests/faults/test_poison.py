"""Steps that take their process with them."""

from __future__ import annotations

import pytest

from tests.acceptance.system import logs_by_key, step, until
from tests.faults.fleet import Fleet
from tests.faults.processes import CPU_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]


def test_poison_is_tried_a_few_times_and_harms_nobody_else(fleet: Fleet) -> None:
    # Given a worker that does honest work
    fleet.kill(CPU_2)
    effect = fleet.role("fault.effect")
    honest = fleet.orchestration(step("a", effect), step("b", effect))

    # When steps come that end their process, by themselves or by the kernel
    poisoned = [
        fleet.execute(
            fleet.orchestration(
                step("poison", fleet.role(name), max_retries=1, on_error=on_error),
                step("after", fleet.role("util.identity")),
            )
        )
        for name, on_error in (
            ("fault.exit", "fail"),
            ("fault.out_of_memory", "continue"),
        )
    ]
    until(lambda: len(fleet.seen("begin", "poison")) >= 2, what="the first crashes")
    beside = [fleet.execute(honest) for _ in range(5)]

    # Then the honest work is done meanwhile, at the first attempt
    for each in beside:
        ended = fleet.finished(each, seconds=60)
        assert {log["attempt"] for log in ended["step_logs"]} == {1}
        assert ended["status"] == "completed"

    # And the poison is given up, as crashed, after the attempts that are allowed
    fatal, passed = (fleet.finished(each, seconds=90) for each in poisoned)
    assert (fatal["status"], fatal["error"]["type"]) == ("failed", "crashed")
    assert passed["status"] == "completed"
    assert passed["context"]["errors"]["poison"]["type"] == "crashed"
    for ended in (fatal, passed):
        assert logs_by_key(ended)["poison"]["attempt"] == 4
    assert fleet.begun()["poison"] == 8
