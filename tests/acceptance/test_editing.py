"""What people edit while executions are under way changes nothing for those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.system import System, logs_by_key, step

pytestmark = pytest.mark.acceptance


@pytest.fixture
def gate(system: System) -> str:
    return system.role("test.ahold")


def gated(name: str, gate: str) -> dict[str, Any]:
    hold = {"trace": name, "seconds": 60, "release": f"{name}.release"}
    return step("gate", gate, input_mapping=hold)


def test_a_role_that_is_edited_and_renamed_keeps_working_as_it_was(
    system: System, gate: str, traces: Path
) -> None:
    shout = system.post(
        "roles/",
        {"name": "Shout", "kind": "function", "config": {"function": "text.upper"}},
        status=201,
    )
    made = system.orchestration(
        gated("edited-role", gate), step("say", "Shout", input_mapping={"text": "Hi"})
    )
    running = system.execute(made)
    system.started(running, "gate")

    changed = {"name": "Whisper", "config": {"function": "text.lower"}}
    answer = system.client.patch(f"roles/{shout['id']}/", json=changed)
    assert answer.status_code == 200, answer.text
    (traces / "edited-role.release").touch()

    log = logs_by_key(system.finished(running))["say"]
    assert (log["role_name"], log["output"]) == ("Shout", "HI")
    refused = system.client.post(f"orchestrations/{made['id']}/execute/", json={})
    assert refused.status_code == 409
    assert "Shout" in refused.json()["detail"]


def test_an_execution_keeps_the_version_that_it_started_with(
    system: System, gate: str, traces: Path
) -> None:
    same = system.role("util.identity")
    made = system.orchestration(
        gated("edited-version", gate), step("say", same, input_mapping="old")
    )
    running = system.execute(made)
    system.started(running, "gate")

    steps = [step("say", same, input_mapping="new")]
    answer = system.client.patch(f"orchestrations/{made['id']}/", json={"steps": steps})
    assert answer.status_code == 200, answer.text
    (traces / "edited-version.release").touch()

    old = system.finished(running)
    new = system.finished(system.execute(made))
    assert (old["version"], old["output"]["say"]) == (1, "old")
    assert (new["version"], new["output"]) == (2, {"say": "new"})
