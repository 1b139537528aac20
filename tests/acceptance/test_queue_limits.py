"""A step of a body that waits for a worker for a limited time, on real workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import System, step

pytestmark = pytest.mark.acceptance


def crowded(system: System, **config: Any) -> dict[str, Any]:
    """Map over more items than there are slots, of which the last ones wait."""
    hold = system.role("test.hold")
    given = {"trace": "crowded", "seconds": 3}
    return {
        "key": "each",
        "step_type": "map",
        "config": {"items": [1, 2, 3, 4, 5, 6], "max_parallel": 6, **config},
        "steps": [
            {
                "key": "one",
                "role_name": hold,
                "input_mapping": given,
                "queue_timeout_ms": 1500,
            }
        ],
    }


def test_an_item_that_waits_too_long_for_a_worker_fails_its_map(
    system: System,
) -> None:
    ended = system.run(crowded(system))

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "queue_timed_out"
    assert ended["error"]["step_key"] == "one"


def test_items_that_wait_too_long_are_left_out_if_that_is_allowed(
    system: System,
) -> None:
    same = system.role("util.identity")

    ended = system.run(crowded(system, item_errors="drop"), step("after", same))

    assert ended["status"] == "completed", ended["error"]
    states = [log["status"] for log in ended["step_logs"] if log["step_key"] == "one"]
    assert "timed_out" in states
    assert states.count("completed") == len(ended["context"]["each"])
