"""Steps that fail, hang or return nonsense, and what becomes of their executions."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.acceptance.system import System, logs_by_key, step

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def failing(system: System) -> str:
    return system.role("test.fail")


def test_a_step_that_succeeds_on_its_third_try_completes(system: System) -> None:
    role = system.role("test.succeed_on")
    ended = system.run(
        step(
            "try", role, input_mapping={"attempt": 3}, max_retries=5, retry_delay_ms=50
        )
    )

    log = logs_by_key(ended)["try"]
    assert (ended["status"], log["attempt"]) == ("completed", 3)
    assert log["output"] == {"attempt": 3, "key": log["id"]}


def test_used_up_retries_fail_the_execution_and_name_the_step(
    system: System, same: str, failing: str
) -> None:
    ended = system.run(
        step("before", same),
        step("break", failing, max_retries=2, retry_delay_ms=10),
        step("after", same),
    )

    assert ended["status"] == "failed"
    assert ended["error"] == {
        "step_key": "break",
        "type": "exception",
        "message": "ValueError: The world is not ready.",
        "attempt": 3,
    }
    assert [log["step_key"] for log in ended["step_logs"]] == ["before", "break"]


def test_on_error_continue_goes_on_without_the_output(
    system: System, same: str, failing: str
) -> None:
    ended = system.run(
        step("break", failing, on_error="continue"),
        step(
            "report",
            same,
            input_mapping={
                "output": "{{ context.break }}",
                "error": "{{ context.errors.break.message }}",
            },
        ),
    )

    assert ended["status"] == "completed"
    message = "ValueError: The world is not ready."
    assert logs_by_key(ended)["report"]["output"] == {"output": None, "error": message}


def test_on_error_continue_in_a_group_lets_the_others_count(
    system: System, same: str, failing: str
) -> None:
    ended = system.run(
        step("good", same, parallel_group="g"),
        step("bad", failing, parallel_group="g", on_error="continue"),
        step("join", same),
        given={"x": 1},
    )

    assert ended["status"] == "completed"
    assert logs_by_key(ended)["join"]["input"] == {"good": {"x": 1}, "bad": None}


def test_a_failure_in_a_group_ends_the_execution_and_cuts_the_rest(
    system: System, failing: str, traces: Path
) -> None:
    slow = system.role("test.ahold")
    ended = system.run(
        step(
            "slow",
            slow,
            parallel_group="g",
            input_mapping={"trace": "cut", "seconds": 60},
        ),
        step("bad", failing, parallel_group="g", max_retries=1, retry_delay_ms=500),
    )

    logs = logs_by_key(ended)
    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "bad")
    assert logs["slow"]["status"] == "cancelled"


@pytest.mark.parametrize("function", ["test.hold", "test.ahold"])
def test_a_time_limit_ends_the_attempt_on_either_pool(
    system: System, function: str
) -> None:
    role = system.role(function)
    started = time.monotonic()
    ended = system.run(
        step(
            "slow",
            role,
            timeout_ms=300,
            input_mapping={"trace": f"slow-{function}", "seconds": 60},
        )
    )

    log = logs_by_key(ended)["slow"]
    assert (ended["status"], log["status"]) == ("failed", "timed_out")
    assert ended["error"]["type"] == "timed_out"
    assert time.monotonic() - started < 10


def test_a_timed_out_attempt_is_tried_again(system: System) -> None:
    role = system.role("test.hold")
    hold = {"trace": "again", "seconds": 60, "only_first": 1}
    ended = system.run(
        step(
            "slow",
            role,
            timeout_ms=300,
            max_retries=1,
            retry_delay_ms=10,
            input_mapping=hold,
        )
    )

    assert ended["status"] == "completed"
    assert logs_by_key(ended)["slow"]["output"] == {"attempts": 2}


def test_code_that_swallows_the_interruption_is_ended_and_its_slot_freed(
    system: System, same: str
) -> None:
    role = system.role("test.stubborn")
    ended = system.run(
        step(
            "stubborn",
            role,
            timeout_ms=300,
            input_mapping={"trace": "stubborn", "seconds": 60},
        )
    )

    assert logs_by_key(ended)["stubborn"]["status"] == "timed_out"
    group = [step(f"m{n}", same, parallel_group="g") for n in range(4)]
    assert system.run(*group)["status"] == "completed"


def test_the_whole_executions_time_limit_ends_it(system: System) -> None:
    role = system.role("time.delay")
    ended = system.run(
        step("slow", role, input_mapping={"ms": 60_000}), timeout_ms=1500
    )

    assert ended["status"] == "timed_out"
    assert logs_by_key(ended)["slow"]["status"] == "cancelled"


def test_an_output_that_is_not_json_fails_its_step_and_says_where(
    system: System,
) -> None:
    role = system.role("test.not_json")
    ended = system.run(step("odd", role, max_retries=3))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "not_json")
    assert "/when" in ended["error"]["message"]
    assert ended["error"]["attempt"] == 1


def test_a_path_that_does_not_resolve_names_itself_and_its_neighbour(
    system: System, same: str
) -> None:
    ended = system.run(
        step("first", same),
        step("second", same, input_mapping={"t": "{{ context.first.titel }}"}),
        given={"title": "x"},
    )

    message = ended["error"]["message"]
    assert ended["error"]["type"] == "template_error"
    assert ended["error"]["step_key"] == "second"
    assert "context.first.titel" in message
    assert "title" in message.replace("titel", "")


def test_an_output_template_that_does_not_resolve_fails_the_execution(
    system: System, same: str
) -> None:
    ended = system.run(step("only", same), output="{{ context.only.missing }}")

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", None)
    assert logs_by_key(ended)["only"]["status"] == "completed"
