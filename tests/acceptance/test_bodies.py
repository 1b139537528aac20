"""Steps that hold a body, run by real workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import System, step

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def add(system: System) -> str:
    return system.role("math.add")


def paths(ended: dict[str, Any]) -> list[str]:
    return [log["path"] for log in ended["step_logs"]]


def test_a_loop_repeats_until_its_condition_holds(system: System, add: str) -> None:
    loop = {
        "key": "grow",
        "step_type": "loop",
        "config": {
            "max_iterations": 10,
            "until": {"field": "output", "operator": ">=", "value": 8},
        },
        "input_mapping": 5,
        "steps": [
            {
                "key": "one",
                "role_name": add,
                "input_mapping": {"a": "{{ output }}", "b": 1},
            }
        ],
    }
    after = step("after", add, input_mapping={"a": "{{ context.grow }}", "b": 100})

    ended = system.run(loop, after)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"grow": 8, "after": 108}
    assert paths(ended) == [
        "grow",
        "grow[0]/one",
        "grow[1]/one",
        "grow[2]/one",
        "after",
    ]


def test_a_map_keeps_the_order_of_its_items(system: System, add: str) -> None:
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": "{{ context.input.numbers }}", "max_parallel": 40},
        "steps": [
            {
                "key": "twice",
                "role_name": add,
                "input_mapping": {"a": "{{ item }}", "b": "{{ item }}"},
            },
            {
                "key": "place",
                "role_name": add,
                "input_mapping": {"a": "{{ output }}", "b": "{{ index }}"},
            },
        ],
    }

    ended = system.run(each, given={"numbers": list(range(100))})

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": [3 * n for n in range(100)]}


def test_bodies_within_bodies(system: System, add: str, same: str) -> None:
    inner = {
        "key": "route",
        "step_type": "branch",
        "config": {
            "cases": [
                {
                    "branch": "large",
                    "condition": {"field": "item", "operator": ">", "value": 1},
                }
            ],
            "else": "small",
        },
        "steps": [
            {
                "key": "large",
                "role_name": add,
                "input_mapping": {"a": "{{ item }}", "b": 10},
            },
            {
                "key": "small",
                "role_name": same,
                "input_mapping": "{{ context.input.word }}",
            },
        ],
    }
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": [1, 2, 3]},
        "steps": [inner, {"key": "last", "role_name": same}],
    }
    both = {
        "key": "both",
        "step_type": "parallel",
        "steps": [each, {"key": "beside", "role_name": same}],
    }

    ended = system.run(both, given={"word": "w"})

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"both": {"each": ["w", 12, 13], "beside": {"word": "w"}}}


def test_a_failing_item_fails_its_map_and_the_execution(
    system: System, same: str
) -> None:
    bad = system.role("test.fail")
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": [1, 2, 3], "max_parallel": 1},
        "steps": [{"key": "bad", "role_name": bad}],
    }

    ended = system.run(each, step("after", same))

    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "bad"
    assert paths(ended) == ["each", "each[0]/bad"]
