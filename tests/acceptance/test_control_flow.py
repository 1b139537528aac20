"""Orchestrations of every shape, run by real workers."""

from __future__ import annotations

import pytest

from tests.acceptance.system import System, logs_by_key, step

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def add(system: System) -> str:
    return system.role("math.add")


def test_a_chain_of_ten_hands_each_output_on(system: System, add: str) -> None:
    steps = [
        step(f"s{n}", add, input_mapping={"a": "{{ output }}", "b": 1})
        for n in range(1, 10)
    ]
    first = step("s0", add, input_mapping={"a": "{{ context.input.start }}", "b": 1})

    ended = system.run(first, *steps, given={"start": 5})

    assert ended["status"] == "completed", ended["error"]
    assert [log["output"] for log in ended["step_logs"]] == list(range(6, 16))
    assert ended["output"]["s9"] == 15


def test_a_group_of_fifty_runs_between_two_steps(system: System, add: str) -> None:
    members = [
        step(
            f"m{n}",
            add,
            parallel_group="fan",
            input_mapping={"a": "{{ output }}", "b": n},
        )
        for n in range(50)
    ]
    first = step("first", add, input_mapping={"a": 100, "b": 0})
    last = step(
        "last", add, input_mapping={"a": "{{output.m0}}", "b": "{{output.m49}}"}
    )

    ended = system.run(first, *members, last)

    assert ended["status"] == "completed", ended["error"]
    logs = logs_by_key(ended)
    assert [logs[f"m{n}"]["output"] for n in range(50)] == [100 + n for n in range(50)]
    assert logs["last"]["output"] == 249
    ends = [logs[f"m{n}"]["finished_at"] for n in range(50)]
    assert max(ends) <= logs["last"]["started_at"]


def test_a_group_follows_a_group(system: System, add: str) -> None:
    one = [
        step(f"a{n}", add, parallel_group="one", input_mapping={"a": n, "b": 0})
        for n in range(3)
    ]
    two = [
        step(
            f"b{n}",
            add,
            parallel_group="two",
            input_mapping={"a": f"{{{{ context.a{n} }}}}", "b": "{{ output.a2 }}"},
        )
        for n in range(3)
    ]

    ended = system.run(*one, *two)

    assert ended["status"] == "completed", ended["error"]
    outputs = {key: log["output"] for key, log in logs_by_key(ended).items()}
    assert outputs == {"a0": 0, "a1": 1, "a2": 2, "b0": 2, "b1": 3, "b2": 4}


def test_the_first_and_the_last_step_are_groups(system: System, same: str) -> None:
    ended = system.run(
        step("a", same, parallel_group="one"),
        step("b", same, parallel_group="one"),
        step("c", same),
        step("d", same, parallel_group="two"),
        step("e", same, parallel_group="two"),
        given={"x": 1},
        output={"all": "{{ output }}"},
    )

    both = {"a": {"x": 1}, "b": {"x": 1}}
    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"all": {"d": both, "e": both}}


@pytest.mark.parametrize(("score", "status"), [(0.9, "completed"), (0.5, "skipped")])
def test_a_condition_decides_whether_its_step_runs(
    system: System, same: str, score: float, status: str
) -> None:
    ended = system.run(
        step("score", same),
        step(
            "praise",
            same,
            step_type="conditional",
            condition={"field": "output.score", "operator": ">", "value": 0.8},
        ),
        given={"score": score},
    )

    assert ended["status"] == "completed", ended["error"]
    assert logs_by_key(ended)["praise"]["status"] == status


def test_a_skipped_step_leaves_null_and_the_output_as_it_was(
    system: System, same: str
) -> None:
    never = {"field": "context.input.no", "operator": "exists"}
    ended = system.run(
        step("first", same),
        step("skipped", same, condition=never, step_type="conditional"),
        step(
            "last",
            same,
            input_mapping={"was": "{{ output }}", "gone": "{{ context.skipped }}"},
        ),
        given={"x": 1},
    )

    assert ended["context"]["skipped"] is None
    assert logs_by_key(ended)["last"]["output"] == {"was": {"x": 1}, "gone": None}


def test_a_skipped_first_or_last_step_does_not_stop_the_execution(
    system: System, same: str
) -> None:
    never = {"field": "context.input.no", "operator": "exists"}
    ended = system.run(
        step("a", same, condition=never),
        step("b", same),
        step("c", same, condition=never),
    )

    statuses = [log["status"] for log in ended["step_logs"]]
    assert (ended["status"], statuses) == (
        "completed",
        ["skipped", "completed", "skipped"],
    )


def test_output_mapping_writes_names_into_the_context(
    system: System, same: str
) -> None:
    ended = system.run(
        step("order", same, output_mapping={"total": "{{ output.amount }}"}),
        step("bill", same, input_mapping={"pay": "{{ context.total }}"}),
        given={"amount": 42},
    )

    assert ended["context"]["total"] == 42
    assert logs_by_key(ended)["bill"]["output"] == {"pay": 42}


def test_a_chain_longer_than_a_window_completes(system: System, add: str) -> None:
    steps = [
        step(f"s{n}", add, input_mapping={"a": "{{ output }}", "b": 1})
        for n in range(1, 120)
    ]

    ended = system.run(step("s0", add, input_mapping={"a": 0, "b": 0}), *steps)

    assert ended["output"]["s119"] == 119


def test_two_executions_of_one_orchestration_do_not_mix(
    system: System, same: str
) -> None:
    slow = system.role("time.delay")
    made = system.orchestration(
        step("wait", slow, input_mapping={"ms": 300}),
        step("say", same, input_mapping="{{ context.input.word }}"),
    )

    ids = [system.execute(made, {"word": word}) for word in ("yes", "no")]

    outputs = [system.finished(one)["output"]["say"] for one in ids]
    assert outputs == ["yes", "no"]


def test_steps_of_both_pools_alternate(system: System, same: str) -> None:
    wait = system.role("time.delay")
    steps = [
        step(f"s{n}", wait if n % 2 else same, input_mapping={"ms": 1})
        for n in range(8)
    ]

    assert system.run(*steps)["status"] == "completed"


def test_a_role_may_be_named_by_its_id(system: System) -> None:
    body = {"name": "By id", "kind": "function", "config": {"function": "text.upper"}}
    role = system.post("roles/", body, status=201)

    ended = system.run(
        {"name": "say", "role_id": role["id"].upper(), "input_mapping": {"text": "hi"}}
    )

    assert logs_by_key(ended)["say"]["output"] == "HI"
