"""What is done after a failure, and on demand: steps undone, `on_failure` run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.system import System, logs_by_key, step

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def bad(system: System) -> str:
    return system.role("test.fail")


def undoable(key: str, role: str, **fields: Any) -> dict[str, Any]:
    mapping = fields.pop("undo", None)
    compensate = {"role_name": role, "input_mapping": mapping}
    return {"key": key, "role_name": role, "compensate": compensate, **fields}


def undone(ended: dict[str, Any]) -> list[str]:
    """List what was undone, in the order in which that ended."""
    logs = [log for log in ended["step_logs"] if log["step_key"].startswith("undo_")]
    return [log["step_key"] for log in sorted(logs, key=lambda log: log["finished_at"])]


def test_on_failure_runs_and_the_execution_fails_with_its_own_error(
    system: System, same: str, bad: str
) -> None:
    ended = system.run(
        step("first", same, key="first", input_mapping=1),
        step("bad", bad, key="bad"),
        step("never", same, key="never"),
        on_failure=[
            step(
                "tell",
                same,
                key="tell",
                input_mapping={
                    "what": "{{ context.failure.message }}",
                    "where": "{{ context.failure.step_key }}",
                    "first": "{{ context.first }}",
                    "never": "{{ context.never }}",
                },
            ),
            step("last", same, key="last"),
        ],
    )

    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "bad"
    logs = logs_by_key(ended)
    assert logs["tell"]["output"] == {
        "what": "ValueError: The world is not ready.",
        "where": "bad",
        "first": 1,
        "never": None,
    }
    assert logs["last"]["input"] == logs["tell"]["output"]
    assert [log["step_key"] for log in ended["step_logs"]] == [
        "first",
        "bad",
        "tell",
        "last",
    ]


def test_it_does_not_run_when_all_goes_well(system: System, same: str) -> None:
    ended = system.run(step("first", same), on_failure=[step("tell", same, key="tell")])

    assert ended["status"] == "completed"
    assert "tell" not in logs_by_key(ended)


def test_a_failure_of_on_failure_ends_it_and_leaves_the_error(
    system: System, same: str, bad: str
) -> None:
    ended = system.run(
        step("bad", bad, key="bad"),
        on_failure=[step("worse", bad, key="worse"), step("never", same, key="never")],
    )

    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "bad"
    logs = logs_by_key(ended)
    assert logs["worse"]["status"] == "failed"
    assert "never" not in logs


def test_finished_steps_are_undone_in_reverse(
    system: System, same: str, bad: str
) -> None:
    ended = system.run(
        undoable(
            "book", same, input_mapping={"seat": 7}, undo={"free": "{{ output.seat }}"}
        ),
        undoable("pay", same, input_mapping={"amount": 5}),
        step("plain", same),
        step("bad", bad, key="bad"),
        undoable("ship", same),
        on_failure=[step("tell", same, key="tell")],
    )

    assert ended["status"] == "failed"
    assert undone(ended) == ["undo_pay", "undo_book"]
    logs = logs_by_key(ended)
    assert logs["undo_book"]["input"] == {"free": 7}
    assert logs["undo_pay"]["input"] == {"amount": 5}
    assert logs["book"]["compensation"] == "completed"
    assert logs["tell"]["started_at"] >= logs["undo_book"]["finished_at"]


def test_each_item_of_a_map_is_undone_with_its_own_values(
    system: System, same: str, bad: str
) -> None:
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": ["a", "b", "c"], "max_parallel": 1},
        "steps": [
            undoable("book", same, undo={"item": "{{ item }}", "of": "{{ output }}"})
        ],
    }

    ended = system.run(each, step("bad", bad, key="bad"))

    inputs = [
        log["input"] for log in ended["step_logs"] if log["step_key"] == "undo_book"
    ]
    assert sorted(one["item"] for one in inputs) == ["a", "b", "c"]
    assert all(one["item"] == one["of"] for one in inputs)


def test_what_cannot_be_undone_does_not_keep_the_others(
    system: System, same: str, bad: str
) -> None:
    stubborn = {**undoable("second", same), "compensate": {"role_name": bad}}

    ended = system.run(undoable("first", same), stubborn, step("bad", bad, key="bad"))

    logs = logs_by_key(ended)
    assert logs["undo_second"]["status"] == "failed"
    assert logs["undo_first"]["status"] == "completed"
    assert ended["error"]["step_key"] == "bad"


def test_a_time_out_is_seen_to_as_well(system: System, same: str) -> None:
    hold = system.role("test.hold")
    ended = system.run(
        undoable("first", same),
        step("long", hold, input_mapping={"trace": "unwound", "seconds": 30}),
        on_failure=[step("tell", same, key="tell")],
        timeout_ms=1500,
    )

    assert ended["status"] == "timed_out"
    assert undone(ended) == ["undo_first"]
    assert logs_by_key(ended)["tell"]["status"] == "completed"


def test_a_completed_execution_is_rolled_back_once(system: System, same: str) -> None:
    ended = system.run(undoable("first", same), undoable("second", same))
    assert ended["status"] == "completed"

    system.post(f"executions/{ended['id']}/rollback/", {}, status=200)

    after = system.finished(ended["id"])
    assert after["status"] == "completed"
    assert undone(after) == ["undo_second", "undo_first"]
    system.post(f"executions/{ended['id']}/rollback/", {}, status=200)
    assert undone(system.finished(ended["id"])) == ["undo_second", "undo_first"]


def test_rolling_back_what_is_under_way_ends_it_first(
    system: System, same: str
) -> None:
    hold = system.role("test.hold")
    made = system.orchestration(
        undoable("first", same),
        step(
            "long", hold, key="long", input_mapping={"trace": "rolled", "seconds": 60}
        ),
    )
    execution = system.execute(made)
    system.started(execution, "long")

    system.post(f"executions/{execution}/rollback/", {"reason": "wrong"}, status=200)

    ended = system.finished(execution)
    assert ended["status"] == "cancelled"
    assert ended["error"]["type"] == "rolled_back"
    assert undone(ended) == ["undo_first"]


def test_what_was_undone_is_not_retried(system: System, same: str, bad: str) -> None:
    ended = system.run(undoable("first", same), step("bad", bad))

    refused = system.post(f"executions/{ended['id']}/retry/", {}, status=409)

    assert refused["code"] == "undone"


def test_nothing_is_rolled_back_that_does_not_say_how(
    system: System, same: str
) -> None:
    ended = system.run(step("first", same))

    refused = system.post(f"executions/{ended['id']}/rollback/", {}, status=409)

    assert refused["code"] == "nothing_to_undo"


def test_what_follows_a_failure_may_wait_and_have_bodies(
    system: System, same: str, bad: str
) -> None:
    wait = {"key": "calm", "step_type": "wait", "config": {"duration_ms": 300}}
    each = {
        "key": "each",
        "step_type": "map",
        "config": {"items": ["a", "b"]},
        "steps": [
            {
                "key": "tell",
                "role_name": same,
                "input_mapping": "{{ item }}: {{ context.failure.type }}",
            }
        ],
    }
    stop = {"key": "enough", "step_type": "stop"}

    ended = system.run(
        step("bad", bad, key="bad"),
        on_failure=[wait, each, stop, step("never", same, key="never")],
    )

    assert ended["status"] == "failed"
    assert ended["error"]["step_key"] == "bad"
    logs = logs_by_key(ended)
    assert logs["calm"]["status"] == "completed"
    assert logs["each"]["output"] == ["a: exception", "b: exception"]
    assert "never" not in logs
