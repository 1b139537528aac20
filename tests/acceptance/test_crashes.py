"""Workers that die in the middle of a step."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.system import System, logs_by_key, step, until

pytestmark = pytest.mark.acceptance


def keys_of(path: Path) -> set[str]:
    return {line.split()[0] for line in path.read_text().splitlines()}


@pytest.mark.parametrize(
    ("worker", "function"),
    [("worker-cpu-1", "test.hold"), ("worker-io-1", "test.ahold")],
)
def test_a_killed_workers_step_resumes_within_thirty_seconds(
    system: System, traces: Path, worker: str, function: str
) -> None:
    role, same = system.role(function), system.role("util.identity")
    name = f"killed-{worker}"
    hold = {"trace": name, "seconds": 120, "only_first": 1}
    made = system.orchestration(
        step("before", same),
        step("hold", role, input_mapping=hold),
        step("after", same),
    )
    execution = system.execute(made)
    system.started(execution, "hold")
    until(lambda: (traces / name).exists(), what="the first attempt")

    system.kill(worker)
    killed = time.monotonic()
    system.restart(worker)
    ended = system.finished(execution, seconds=60)

    log = logs_by_key(ended)["hold"]
    assert (ended["status"], log["attempt"]) == ("completed", 2)
    assert log["output"] == {"attempts": 2}
    assert keys_of(traces / name) == {log["id"]}
    assert time.monotonic() - killed < 30 + 10  # and the start of a worker


def test_a_killed_pool_child_loses_only_its_own_step(
    system: System, traces: Path
) -> None:
    role = system.role("test.hold")
    victim = {"trace": "victim", "seconds": 60, "only_first": 1}
    other = {"trace": "bystander", "seconds": 60, "release": "bystander.release"}
    execution = system.execute(
        system.orchestration(
            step("victim", role, parallel_group="g", input_mapping=victim),
            step("bystander", role, parallel_group="g", input_mapping=other),
        )
    )
    log = system.started(execution, "victim")
    until(lambda: (traces / "victim").exists(), what="the first attempt")
    (pid,) = system.database.execute(
        "SELECT w.pid FROM executions_worker w "
        "JOIN executions_steprun s ON s.worker = w.id WHERE s.id = %s",
        [log["id"]],
    ).fetchone() or (None,)

    os.kill(pid, signal.SIGKILL)
    until(
        lambda: len((traces / "victim").read_text().splitlines()) == 2,
        what="the second attempt",
    )
    (traces / "bystander.release").touch()
    logs = logs_by_key(system.finished(execution))

    assert (logs["victim"]["attempt"], logs["bystander"]["attempt"]) == (2, 1)


def test_a_step_that_keeps_killing_its_worker_ends_as_crashed(system: System) -> None:
    role = system.role("test.exit")
    ended = system.run(
        step("poison", role, input_mapping={"trace": "poison"}), seconds=120
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "crashed")
    assert logs_by_key(ended)["poison"]["attempt"] <= 4
