"""Many executions at once on one io worker, whose threads share a few connections."""

from __future__ import annotations

import pytest

from tests.acceptance.system import System, step

pytestmark = pytest.mark.acceptance


def test_a_crowd_loses_no_message_and_no_lease(system: System) -> None:
    wait, same = system.role("time.delay"), system.role("util.identity")
    group = [
        step(f"m{n}", wait, parallel_group="g", input_mapping={"ms": 100})
        for n in range(4)
    ]
    made = system.orchestration(
        step("first", wait, input_mapping={"ms": 2500}), *group, step("last", same)
    )

    ids = [system.execute(made) for _ in range(80)]

    ends = [system.finished(one, seconds=90)["status"] for one in ids]
    assert ends == ["completed"] * 80
    odd = system.database.execute(
        "SELECT count(*) FILTER (WHERE e.resends > 0), "
        "count(*) FILTER (WHERE s.crashes > 0) FROM executions_execution e "
        "JOIN executions_steprun s ON s.execution_id = e.id "
        "WHERE e.orchestration_id = %s",
        [made["id"]],
    ).fetchone()
    assert odd == (0, 0)
