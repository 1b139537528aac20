"""Several who would send the same execution, and one who dies while sending it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from config.dev.layout import ROOT
from tests.acceptance.system import step, until
from tests.faults.fleet import Fleet, watch
from tests.faults.processes import CPU, CPU_2, RECONCILER, RECONCILER_2

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ONCE_EACH = {"first": 1, "left": 1, "right": 1, "last": 1}


def lost(fleet: Fleet) -> str:
    """Start an execution of which no message is left."""
    for name in (CPU, CPU_2):
        fleet.kill(name)
    effect = fleet.role("fault.effect")
    execution = fleet.execute(
        fleet.orchestration(
            step("first", effect),
            step("left", effect, parallel_group="g"),
            step("right", effect, parallel_group="g"),
            step("last", effect),
        )
    )
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)
    return execution


def test_a_second_reconciler_ends_what_the_first_died_in_the_middle_of(
    fleet: Fleet,
) -> None:
    # Given two reconcilers, and the elected one dies before it sends
    fleet.restart(RECONCILER, CORE_FAIL_AT="in_resend:kill*1")
    until(lambda: elected(fleet) == {RECONCILER}, what="an election")
    fleet.restart(RECONCILER_2)
    execution = lost(fleet)

    # When it finds an execution that was lost
    until(lambda: fleet.has_reached("in_resend"), what="a death")
    fleet.restart(CPU)

    # Then the other is elected and sends it, under yet another epoch
    assert fleet.finished(execution, seconds=60)["status"] == "completed"
    assert elected(fleet) == {RECONCILER_2}
    assert fleet.begun() == ONCE_EACH
    assert epoch_and_resends(fleet, execution) == [(3, 2)]


def test_of_several_dispatchers_at_once_one_sends(fleet: Fleet) -> None:
    # Given a lost execution, and no reconciler that runs by itself
    fleet.kill(RECONCILER)
    execution = lost(fleet)
    watch(11)  # long enough without any sign of life

    # When five do one round each, at once
    spec = fleet.spec(RECONCILER)
    command = (sys.executable, "manage.py", "reconcile", "--once")
    rounds = [
        subprocess.Popen(command, env=dict(spec.env), cwd=ROOT)  # noqa: S603
        for _ in range(5)
    ]
    assert [each.wait(60) for each in rounds] == [0] * 5
    fleet.restart(CPU)

    # Then one of them has sent it, and every step runs once
    assert fleet.finished(execution)["status"] == "completed"
    assert epoch_and_resends(fleet, execution) == [(2, 1)]
    assert fleet.begun() == ONCE_EACH


def elected(fleet: Fleet) -> set[str]:
    rows = fleet.query(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a "
        "ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
    )
    return {name for (name,) in rows}


def epoch_and_resends(fleet: Fleet, execution: str) -> list[tuple[int, int]]:
    return fleet.query(
        "SELECT epoch, resends::int FROM executions_execution WHERE id = %s", execution
    )
