"""Orchestrations that run others, on real workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import TERMINAL, System, logs_by_key, step, until

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def add(system: System) -> str:
    return system.role("math.add")


def runs(name: str, key: str = "child", **fields: Any) -> dict[str, Any]:
    config = {"orchestration_name": name, **fields.pop("config", {})}
    return {"key": key, "step_type": "orchestration", "config": config, **fields}


def children(system: System, execution_id: str) -> list[dict[str, Any]]:
    rows = system.database.execute(
        "SELECT id FROM executions_execution WHERE parent_execution_id = %s"
        " ORDER BY id",
        [execution_id],
    ).fetchall()
    return [system.execution(str(row[0])) for row in rows]


def test_the_child_s_output_is_the_step_s(system: System, add: str) -> None:
    child = system.orchestration(
        step(
            "sum", add, key="sum", input_mapping={"a": "{{ context.input.n }}", "b": 1}
        ),
        output={"total": "{{ context.sum }}"},
    )
    parent = system.orchestration(
        runs(child["name"], input_mapping={"n": "{{ context.input.start }}"}),
        step("after", add, input_mapping={"a": "{{ output.total }}", "b": 10}),
    )

    ended = system.finished(system.execute(parent, {"start": 4}))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"child": {"total": 5}, "after": 15}
    (one,) = children(system, ended["id"])
    assert one["parent_execution_id"] == ended["id"]
    assert logs_by_key(ended)["child"]["input"]["execution_id"] == one["id"]


def test_a_child_without_an_output_template_gives_its_context(
    system: System, same: str
) -> None:
    child = system.orchestration(step("one", same, key="one", input_mapping=1))
    parent = system.orchestration(runs(child["name"]))

    ended = system.finished(system.execute(parent))

    assert ended["output"] == {"child": {"one": 1}}


def test_a_child_that_fails_fails_its_step_with_its_error(
    system: System, same: str
) -> None:
    child = system.orchestration(step("bad", system.role("test.fail")))
    parent = system.orchestration(runs(child["name"]), step("after", same))

    ended = system.finished(system.execute(parent))

    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "child"
    assert ended["error"]["type"] == "exception"
    assert "The world is not ready." in ended["error"]["message"]
    assert "after" not in logs_by_key(ended)


def test_a_child_that_fails_may_be_allowed_to(system: System, same: str) -> None:
    child = system.orchestration(step("bad", system.role("test.fail")))
    parent = system.orchestration(
        runs(child["name"], on_error="continue"), step("after", same)
    )

    ended = system.finished(system.execute(parent))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["child"] is None
    assert ended["context"]["errors"]["child"]["type"] == "exception"


def test_nobody_waits_for_a_child_that_is_only_started(
    system: System, same: str
) -> None:
    child = system.orchestration(step("one", same))
    parent = system.orchestration(runs(child["name"], config={"wait": False}))

    ended = system.finished(system.execute(parent))

    assert ended["status"] == "completed", ended["error"]
    started = ended["output"]["child"]["execution_id"]
    assert system.finished(started)["status"] == "completed"


def test_retrying_the_parent_resumes_the_child_that_failed(
    system: System, same: str
) -> None:
    role = system.role("test.succeed_on", config={"arguments": {"attempt": 2}})
    child = system.orchestration(
        step("first", same, key="first"), step("flaky", role, input_mapping={})
    )
    parent = system.orchestration(runs(child["name"]), step("after", same))
    ended = system.finished(system.execute(parent))
    assert ended["status"] == "failed"

    system.post(f"executions/{ended['id']}/retry/", {}, status=200)

    again = system.finished(ended["id"])
    assert again["status"] == "completed", again["error"]
    (one,) = children(system, ended["id"])
    logs = logs_by_key(one)
    assert (logs["first"]["attempt"], logs["flaky"]["attempt"]) == (1, 2)


def test_a_cancel_above_is_one_below(system: System) -> None:
    hold = system.role("test.hold")
    given = {"trace": "cancelled_child", "seconds": 60}
    child = system.orchestration(step("long", hold, input_mapping=given))
    parent = system.orchestration(runs(child["name"]))
    execution = system.execute(parent)
    until(lambda: [c for c in children(system, execution) if c["step_logs"]])

    system.post(f"executions/{execution}/cancel/", {}, status=200)

    assert system.finished(execution)["status"] == "cancelled"
    (one,) = children(system, execution)
    assert system.finished(one["id"])["status"] == "cancelled"


def test_a_child_is_not_left_behind_when_its_parent_fails_beside_it(
    system: System,
) -> None:
    hold, bad = system.role("test.hold"), system.role("test.fail")
    given = {"trace": "forsaken_child", "seconds": 60}
    child = system.orchestration(step("long", hold, input_mapping=given))
    parent = system.orchestration(
        runs(child["name"], parallel_group="g"),
        step("bad", bad, parallel_group="g", max_retries=1, retry_delay_ms=500),
    )

    ended = system.finished(system.execute(parent))

    assert ended["status"] == "failed"
    (one,) = children(system, ended["id"])
    assert system.finished(one["id"], seconds=40)["status"] == "cancelled"


def test_recursion_ends_at_the_greatest_depth(system: System, same: str) -> None:
    own = system.orchestration(step("one", same, key="one"))
    body = {
        "name": own["name"],
        "steps": [step("one", same, key="one"), runs(own["name"], input_mapping={})],
    }
    answer = system.client.put(f"orchestrations/{own['id']}/", json=body)
    assert answer.status_code == 200, answer.text

    ended = system.finished(system.execute(own), seconds=60)

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "too_deep"


def test_recursion_ends_where_its_condition_says(system: System, add: str) -> None:
    first = step(
        "less", add, key="less", input_mapping={"a": "{{ context.input.n }}", "b": -1}
    )
    own = system.orchestration(first)
    again = runs(
        own["name"],
        condition={"field": "context.less", "operator": ">", "value": 0},
        input_mapping={"n": "{{ context.less }}"},
    )
    answer = system.client.put(
        f"orchestrations/{own['id']}/",
        json={"name": own["name"], "steps": [first, again]},
    )
    assert answer.status_code == 200, answer.text

    ended = system.finished(system.execute(own, {"n": 3}))

    assert ended["output"] == {
        "less": 2,
        "child": {"less": 1, "child": {"less": 0, "child": None}},
    }


def test_a_map_of_children_waits_for_all(system: System, add: str) -> None:
    child = system.orchestration(
        step("sum", add, input_mapping={"a": "{{ context.input.n }}", "b": 1}),
        output="{{ output }}",
    )
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": list(range(20))},
        "steps": [runs(child["name"], input_mapping={"n": "{{ item }}"})],
    }

    ended = system.run(each)

    assert ended["output"] == {"each": list(range(1, 21))}
    assert {one["status"] for one in children(system, ended["id"])} <= TERMINAL
