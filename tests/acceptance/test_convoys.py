"""Many executions launched at once: they travel together, and wait for nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.system import System, step, until

pytestmark = pytest.mark.acceptance

LAUNCH = """
from core_orchestration.models import Orchestration
from executions.launch import launch_many
one = Orchestration.objects.get(pk={id!r})
launch_many(one, [{{"n": str(n), "seconds": 60 * (n == 7)}} for n in range(200)])
"""


def launch(system: System, orchestration: dict[str, Any]) -> None:
    """Start 200 executions, the eighth of which takes until it is let go."""
    spec = system.application.specs()[0]
    code = LAUNCH.format(id=orchestration["id"])
    subprocess.run(  # noqa: S603
        [sys.executable, "manage.py", "shell", "-c", code],
        env=spec.env,
        cwd=spec.cwd,
        check=True,
    )


def test_a_long_step_holds_up_none_of_those_it_was_launched_with(
    system: System, traces: Path
) -> None:
    # Given executions of five steps, the third of one of which takes until it is let go
    same, hold = system.role("util.identity"), system.role("test.hold")
    given = {
        "trace": "convoy-{{ context.input.n }}",
        "seconds": "{{ context.input.seconds }}",
        "release": "convoy-go",
    }
    steps = [step(key, same) for key in "abcde"]
    steps[2] = step("c", hold, input_mapping=given)
    made = system.orchestration(*steps)

    # When they are launched together
    launch(system, made)

    def ended() -> int:
        row = system.database.execute(
            "SELECT count(*) FROM executions_execution "
            "WHERE orchestration_id = %s AND finished_at IS NOT NULL",
            [made["id"]],
        ).fetchone()
        return int(row[0]) if row else 0

    until(lambda: ended() >= 199, seconds=50, what="the end of the others")

    # Then they end while it is at it, and it goes on when it has been let go
    (still,) = system.database.execute(
        "SELECT input->>'n' FROM executions_execution "
        "WHERE orchestration_id = %s AND finished_at IS NULL",
        [made["id"]],
    ).fetchall()
    assert still == ("7",)
    (traces / "convoy-go").touch()
    until(lambda: ended() == 200, what="the end of all")
    # ... and all are done, each step once, none of them sent again
    odd = system.database.execute(
        "SELECT count(*), count(*) FILTER (WHERE e.status <> 'completed'), "
        "count(*) FILTER (WHERE s.attempt <> 1 OR s.crashes > 0), max(e.resends) "
        "FROM executions_execution e JOIN executions_steprun s "
        "ON s.execution_id = e.id WHERE e.orchestration_id = %s",
        [made["id"]],
    ).fetchone()
    assert odd == (1000, 0, 0, 0)
    twice = system.database.execute(
        "SELECT v.path, v.type FROM executions_event v JOIN executions_execution e "
        "ON e.id = v.execution_id WHERE e.orchestration_id = %s "
        "GROUP BY v.execution_id, v.path, v.type HAVING count(*) > 1",
        [made["id"]],
    ).fetchall()
    assert twice == []
    for n in range(200):
        assert len((traces / f"convoy-{n}").read_text().splitlines()) == 1
