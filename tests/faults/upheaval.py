"""Everything restarted at once, and how to know that it has looked around since."""

from __future__ import annotations

from tests.acceptance.system import step
from tests.faults.fleet import Fleet
from tests.faults.processes import CPU, CPU_2, IO, RECONCILER


def restart_all(fleet: Fleet) -> None:
    """
    Kill workers and reconciler, wipe Valkey, and bring everything back.

    When this returns, the reconciler has looked for lost messages since: it has
    found those of an execution that was posted to be lost.
    """
    names = (CPU, CPU_2, IO, RECONCILER)
    shout = step("shout", fleet.role("text.upper"), input_mapping="lost")
    marker = fleet.orchestration(shout)
    for name in names:
        fleet.kill(name)
    lost = fleet.execute(marker)
    fleet.valkey.kill()
    fleet.valkey.start(empty=True)
    for name in names:
        fleet.launch(name)
    for name in names:
        fleet.await_ready(name)
    assert fleet.finished(lost, seconds=60)["status"] == "completed"
