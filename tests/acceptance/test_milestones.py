"""A step that runs only while another one has not begun, on real workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import System, logs_by_key

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def wait(system: System) -> str:
    return system.role("util.wait")


def order(change: list[dict[str, Any]], ship: list[dict[str, Any]]) -> dict[str, Any]:
    steps = [{**one, "branch": "change"} for one in change]
    steps += [{**one, "branch": "ship"} for one in ship]
    return {"key": "order", "step_type": "parallel", "steps": steps}


def test_it_runs_while_the_other_has_not_begun(system: System, same: str) -> None:
    held = {"key": "held", "step_type": "wait", "config": {"duration_ms": 3000}}
    change = {"key": "change", "role_name": same, "milestone": "ship"}

    ended = system.run(order([change], [held, {"key": "ship", "role_name": same}]))

    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["change"]["status"] == "completed"


@pytest.mark.parametrize("step_type", ["sequential", "wait"])
def test_it_is_skipped_once_the_other_has_begun(
    system: System, same: str, step_type: str
) -> None:
    held = {"key": "held", "step_type": "wait", "config": {"duration_ms": 2000}}
    change: dict[str, Any] = {"key": "change", "role_name": same, "milestone": "ship"}
    if step_type == "wait":
        change = {
            "key": "change",
            "step_type": "wait",
            "config": {"duration_ms": 1},
            "milestone": "ship",
        }

    ended = system.run(order([held, change], [{"key": "ship", "role_name": same}]))

    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["change"]["status"] == "skipped"


def test_every_item_of_a_map_has_its_own_milestone(system: System, same: str) -> None:
    held = {
        "key": "held",
        "step_type": "wait",
        "config": {"duration_ms": "{{ item * 1500 }}"},
    }
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": [0, 2]},
        "steps": [
            order(
                [
                    {
                        "key": "pause",
                        "step_type": "wait",
                        "config": {"duration_ms": 1500},
                    },
                    {"key": "change", "role_name": same, "milestone": "ship"},
                ],
                [held, {"key": "ship", "role_name": same}],
            )
        ],
    }

    ended = system.run(each)

    states = {log["path"]: log["status"] for log in ended["step_logs"]}
    assert states["each[0]/order[change]/change"] == "skipped"
    assert states["each[1]/order[change]/change"] == "completed"
