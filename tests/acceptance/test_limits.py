"""How much an execution may grow: reaching a limit fails clearly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import System, step

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


def loop(role: str, **config: Any) -> dict[str, Any]:
    return {
        "key": "again",
        "step_type": "loop",
        "config": {"max_iterations": 1000, "count": 1000, **config},
        "steps": [{"key": "one", "role_name": role}],
    }


def each(role: str, count: int, **config: Any) -> dict[str, Any]:
    return {
        "key": "each",
        "step_type": "map",
        "config": {"items": [0] * count, **config},
        "steps": [{"key": "one", "role_name": role}, {"key": "two", "role_name": role}],
    }


def test_a_loop_ends_at_the_limit_of_iterations(system: System, same: str) -> None:
    ended = system.run(loop(same), limits={"max_iterations": 7})

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "too_many_iterations"
    assert "max_iterations allows 7" in ended["error"]["message"]
    assert len(ended["step_logs"]) == 1 + 7


def test_a_map_of_too_many_items_begins_none(system: System, same: str) -> None:
    ended = system.run(each(same, 11), limits={"max_fan_out": 10})

    assert ended["error"]["type"] == "too_many_items"
    assert len(ended["step_logs"]) == 1


def test_a_map_of_too_many_steps_begins_none(system: System, same: str) -> None:
    ended = system.run(each(same, 50), limits={"max_steps": 99})

    assert ended["error"]["type"] == "too_many_steps"
    assert len(ended["step_logs"]) == 1


def test_a_loop_ends_when_there_are_too_many_steps(system: System, same: str) -> None:
    ended = system.run(loop(same), limits={"max_steps": 60})

    assert ended["error"]["type"] == "too_many_steps"
    assert len(ended["step_logs"]) <= 60 + 25


def test_a_context_that_is_too_large_fails(system: System, same: str) -> None:
    grows = loop(same)
    grows["steps"][0]["input_mapping"] = "{{ context.input.text }}"
    text = "".join(chr(33 + (n * 7919) % 90) for n in range(20_000))

    ended = system.run(
        grows, given={"text": text}, limits={"max_context_bytes": 100_000}
    )

    assert ended["error"]["type"] == "context_too_large"


def test_children_stand_no_deeper_than_is_allowed(system: System, same: str) -> None:
    inner = system.orchestration(step("one", same))
    child = {
        "key": "child",
        "step_type": "orchestration",
        "config": {"orchestration_name": inner["name"]},
    }

    ended = system.run(child, limits={"max_depth": 1})

    assert ended["error"]["type"] == "too_deep"


def test_a_limit_that_is_reached_may_be_allowed_for(system: System, same: str) -> None:
    many = {**each(same, 11), "on_error": "continue"}

    ended = system.run(many, step("after", same), limits={"max_fan_out": 10})

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["errors"]["each"]["type"] == "too_many_items"
