"""Loops: the body again and again, run by real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import (
    NEVER,
    Spans,
    Written,
    by_path,
    each,
    has_status,
    inner,
    loop,
    paths,
    steer,
    when,
)
from tests.acceptance.system import System, logs_by_key, step, until

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def add(system: System) -> str:
    return system.role("math.add")


@pytest.fixture(scope="module")
def bad(system: System) -> str:
    return system.role("test.fail")


@pytest.fixture(scope="module")
def refuse(system: System) -> str:
    return system.role("test.refuse")


@pytest.fixture(scope="module")
def one_more(add: str) -> Written:
    return inner("one", add, given={"a": "{{ output }}", "b": 1})


def turns(count: int) -> list[str]:
    return ["grow", *(f"grow[{n}]/one" for n in range(count))]


# --- until ------------------------------------------------------------------------


def test_a_loop_repeats_until_its_condition_holds(
    system: System, add: str, one_more: Written
) -> None:
    grow = loop("grow", {"until": when("output", ">=", 8)}, one_more, input_mapping=5)
    after = step("after", add, input_mapping={"a": "{{ context.grow }}", "b": 100})

    ended = system.run(grow, after)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"grow": 8, "after": 108}
    assert paths(ended) == [*turns(3), "after"]


def test_an_until_is_looked_at_after_the_first_turn_and_not_before(
    system: System, one_more: Written
) -> None:
    grow = loop("grow", {"until": when("output", ">=", 8)}, one_more, input_mapping=50)

    ended = system.run(grow)

    assert ended["output"] == {"grow": 51}


def test_an_until_reads_the_steps_of_the_turn_that_ended(
    system: System, add: str, same: str
) -> None:
    grow = loop(
        "grow",
        {"until": when("context.one", "==", 3)},
        inner("one", add, given={"a": "{{ loop.index }}", "b": 1}),
        inner("last", same, given={"always": "the same"}),
    )

    ended = system.run(grow)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"grow": {"always": "the same"}}
    assert "grow[2]/last" in paths(ended)
    assert "grow[3]/one" not in paths(ended)


def test_an_until_reads_the_index_and_what_the_body_exported(
    system: System, same: str
) -> None:
    both = {"all": [when("loop.index", "==", 2), when("context.said", "==", "hi 2")]}
    grow = loop(
        "grow",
        {"until": both},
        inner(
            "one",
            same,
            given="{{ loop.index }}",
            output_mapping={"said": "hi {{ output }}"},
        ),
    )

    assert system.run(grow)["output"] == {"grow": 2}


def test_a_step_that_was_skipped_is_null_to_an_until(system: System, same: str) -> None:
    grow = loop(
        "grow",
        {"until": when("context.sometimes", "==", None)},
        inner("sometimes", same, condition=when("loop.index", "<", 2)),
        inner("last", same, given="{{ loop.index }}"),
    )

    assert system.run(grow)["output"] == {"grow": 2}


def test_an_until_that_holds_in_the_last_permitted_turn_is_in_time(
    system: System, one_more: Written
) -> None:
    config = {"max_iterations": 3, "until": when("output", "==", 3)}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["output"]) == ("completed", {"grow": 3})


def test_an_until_whose_value_does_not_resolve_fails_the_loop(
    system: System, one_more: Written
) -> None:
    config = {"until": when("output", "==", "{{ context.input.goal }}")}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "grow"
    assert paths(ended) == turns(1)


# --- while ------------------------------------------------------------------------


def test_a_while_is_looked_at_before_each_turn(
    system: System, same: str, one_more: Written
) -> None:
    grow = loop("grow", {"while": when("output", "<", 8)}, one_more)

    ended = system.run(step("begin", same, input_mapping=5), grow)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["grow"] == 8
    assert paths(ended) == ["begin", *turns(3)]


@pytest.mark.parametrize(("collect", "nothing"), [("last", None), ("all", [])])
def test_a_while_that_is_false_at_once_leaves_no_turn_and_nothing(
    system: System, same: str, one_more: Written, collect: str, nothing: Any
) -> None:
    config = {"while": when("output", "<", 8), "collect": collect}
    after = step("after", same, input_mapping={"was": "{{ output }}"})

    ended = system.run(
        step("begin", same, input_mapping=50), loop("grow", config, one_more), after
    )

    assert ended["status"] == "completed", ended["error"]
    assert paths(ended) == ["begin", "grow", "after"]
    assert by_path(ended, "status")["grow"] == "completed"
    assert ended["context"]["grow"] == nothing
    assert ended["context"]["after"] == {"was": nothing}


def test_a_while_reads_the_index_of_the_turn_to_come_and_the_last_output(
    system: System, add: str
) -> None:
    goes_on = {
        "all": [
            when("context.loop.index", "<", 5),
            {"any": [when("loop.last", "==", None), when("loop.last", "<", 30)]},
        ]
    }
    ten_more = inner("one", add, given={"a": "{{ output }}", "b": 10})

    ended = system.run(loop("grow", {"while": goes_on}, ten_more, input_mapping=0))

    assert ended["output"] == {"grow": 30}


def test_a_while_that_turns_false_at_the_limit_is_in_time(
    system: System, one_more: Written
) -> None:
    config = {"max_iterations": 2, "while": when("loop.index", "<", 2)}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["output"]) == ("completed", {"grow": 2})


def test_a_while_that_goes_on_beyond_the_limit_fails(
    system: System, one_more: Written
) -> None:
    config = {"max_iterations": 2, "while": when("loop.index", "<", 3)}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "max_iterations")


# --- count ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, "{{ context.input.n }}"])
def test_a_count_is_a_number_or_a_template(
    system: System, one_more: Written, count: Any
) -> None:
    grow = loop("grow", {"count": count}, one_more, input_mapping=0)

    ended = system.run(grow, given={"n": 3})

    assert ended["output"] == {"grow": 3}
    assert paths(ended) == turns(3)


@pytest.mark.parametrize(("collect", "nothing"), [("last", None), ("all", [])])
def test_a_count_of_none_comes_to_nothing(
    system: System, one_more: Written, collect: str, nothing: Any
) -> None:
    config = {"count": 0, "collect": collect}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (paths(ended), ended["output"]) == (["grow"], {"grow": nothing})


def test_a_count_that_is_the_limit_is_in_time(
    system: System, one_more: Written
) -> None:
    config = {"count": 4, "max_iterations": 4}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["output"]) == ("completed", {"grow": 4})


def test_a_count_beyond_the_limit_fails(system: System, one_more: Written) -> None:
    config = {"count": 5, "max_iterations": 4}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "max_iterations")
    assert paths(ended) == turns(4)


@pytest.mark.parametrize("count", ["three", 1.5, -1, True, None, [3], {"n": 3}])
def test_a_count_that_is_no_whole_number_fails_its_loop(
    system: System, one_more: Written, count: Any
) -> None:
    config = {"count": "{{ context.input.n }}"}

    ended = system.run(loop("grow", config, one_more), given={"n": count})

    assert (ended["status"], ended["error"]["type"]) == ("failed", "bad_count")
    assert ended["error"]["step_key"] == "grow"
    assert paths(ended) == ["grow"]


def test_a_count_that_does_not_resolve_fails_its_loop(
    system: System, one_more: Written
) -> None:
    config = {"count": "{{ context.input.n }}"}

    ended = system.run(loop("grow", config, one_more))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "grow"


# --- the limit --------------------------------------------------------------------


def test_turns_that_were_not_enough_fail_the_loop(
    system: System, same: str, one_more: Written
) -> None:
    config = {"max_iterations": 3, "until": when("output", ">", 100)}

    ended = system.run(
        loop("grow", config, one_more, input_mapping=0), step("after", same)
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "max_iterations")
    assert ended["error"]["step_key"] == "grow"
    assert paths(ended) == turns(3)
    assert by_path(ended, "status") == {
        "grow": "failed",
        "grow[0]/one": "completed",
        "grow[1]/one": "completed",
        "grow[2]/one": "completed",
    }


@pytest.mark.parametrize(("collect", "found"), [("last", 3), ("all", [1, 2, 3])])
def test_a_loop_may_go_on_with_what_there_is_at_the_limit(
    system: System, one_more: Written, collect: str, found: Any
) -> None:
    config = {
        "max_iterations": 3,
        "until": when("output", ">", 100),
        "on_limit": "continue",
        "collect": collect,
    }

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], ended["output"]) == ("completed", {"grow": found})


@pytest.mark.parametrize(
    ("on_limit", "status"), [("fail", "failed"), ("continue", "completed")]
)
def test_without_another_end_the_limit_ends_a_loop(
    system: System, one_more: Written, on_limit: str, status: str
) -> None:
    config = {"max_iterations": 2, "on_limit": on_limit}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert (ended["status"], paths(ended)) == (status, turns(2))


def test_more_than_a_hundred_turns_run_and_are_listed_by_number(
    system: System, one_more: Written
) -> None:
    config = {"max_iterations": 200, "count": 120}

    ended = system.run(loop("grow", config, one_more, input_mapping=0), seconds=60)

    assert ended["output"] == {"grow": 120}
    assert paths(ended) == turns(120)


def test_many_turns_without_work_for_a_role_end_by_themselves(
    system: System, same: str
) -> None:
    nothing = each("nothing", [], inner("one", same))
    config = {"max_iterations": 1000, "count": 700}

    ended = system.run(loop("again", config, nothing), seconds=60)

    assert (ended["status"], ended["output"]) == ("completed", {"again": []})


# --- what it comes to ---------------------------------------------------------------


def test_a_loop_collects_what_all_turns_came_to(
    system: System, one_more: Written
) -> None:
    config = {"count": 4, "collect": "all"}

    ended = system.run(loop("grow", config, one_more, input_mapping=0))

    assert ended["output"] == {"grow": [1, 2, 3, 4]}


def test_a_body_sees_the_index_and_what_the_last_turn_came_to(
    system: System, same: str
) -> None:
    given = {"n": "{{ context.loop.index }}", "was": "{{ context.loop.last.n }}"}
    config = {"count": 3, "collect": "all"}
    body = inner("one", same, given={**given, "was": "{{ loop.last }}"})

    ended = system.run(loop("grow", config, body))

    first = {"n": 0, "was": None}
    second = {"n": 1, "was": first}
    assert ended["output"] == {"grow": [first, second, {"n": 2, "was": second}]}


def test_without_an_input_mapping_the_first_turn_begins_with_what_came_before(
    system: System, same: str
) -> None:
    config = {"count": 2, "collect": "all"}
    body = inner("one", same, given={"saw": "{{ output }}"})

    ended = system.run(step("begin", same), loop("grow", config, body), given={"x": 1})

    first = {"saw": {"x": 1}}
    assert ended["context"]["grow"] == [first, {"saw": first}]


def test_the_first_step_of_all_begins_with_the_executions_input(
    system: System, same: str
) -> None:
    ended = system.run(loop("grow", {"count": 1}, inner("one", same)), given={"x": 1})

    assert ended["output"] == {"grow": {"x": 1}}


def test_a_turn_comes_to_the_output_of_its_last_step_that_was_not_skipped(
    system: System, same: str, one_more: Written
) -> None:
    config = {"count": 3, "collect": "all"}
    odd = inner("odd", same, given="odd", condition=when("loop.index", "==", 1))
    number = inner("number", same, given="{{ loop.index }}")

    ended = system.run(loop("grow", config, number, odd))

    assert ended["output"] == {"grow": [0, "odd", 2]}
    assert by_path(ended, "status")["grow[2]/odd"] == "skipped"


def test_a_turn_of_skipped_steps_leaves_the_output_as_it_was(
    system: System, same: str
) -> None:
    skipped = inner("one", same, condition=NEVER)

    ended = system.run(loop("grow", {"count": 3}, skipped, input_mapping="as it was"))

    assert ended["output"] == {"grow": "as it was"}


def test_a_group_at_the_end_of_a_body_is_what_the_turn_comes_to(
    system: System, add: str
) -> None:
    config = {"count": 2, "collect": "all"}
    members = [
        inner(key, add, given={"a": "{{ loop.index }}", "b": n}, parallel_group="g")
        for n, key in enumerate(("left", "right"))
    ]

    ended = system.run(loop("grow", config, *members))

    assert ended["output"] == {
        "grow": [{"left": 0, "right": 1}, {"left": 1, "right": 2}]
    }


def test_a_group_in_the_middle_of_a_body_is_waited_for(
    system: System, add: str
) -> None:
    members = [
        inner(f"m{n}", add, given={"a": "{{ output }}", "b": n}, parallel_group="g")
        for n in range(12)
    ]
    last = inner("last", add, given={"a": "{{ context.m0 }}", "b": "{{output.m11}}"})

    ended = system.run(loop("grow", {"count": 3}, *members, last, input_mapping=1))

    # x becomes x + (x + 11) in each turn
    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"grow": 85}


def test_an_output_mapping_inside_is_seen_by_the_steps_behind_it(
    system: System, same: str
) -> None:
    config = {"count": 2, "collect": "all"}
    first = inner(
        "one", same, given="{{ loop.index }}", output_mapping={"turn": "t{{ output }}"}
    )
    second = inner("two", same, given=["{{ context.turn }}", "{{ context.one }}"])

    ended = system.run(loop("grow", config, first, second))

    assert ended["output"] == {"grow": [["t0", 0], ["t1", 1]]}
    assert "turn" not in ended["context"]
    assert "one" not in ended["context"]


def test_the_output_mapping_of_a_loop_is_seen_outside(
    system: System, same: str, one_more: Written
) -> None:
    grow = loop(
        "grow",
        {"count": 2},
        one_more,
        input_mapping=0,
        output_mapping={"grown": "to {{ output }}"},
    )

    ended = system.run(grow, step("after", same, input_mapping="{{ context.grown }}"))

    assert ended["context"]["after"] == "to 2"


def test_a_loop_whose_condition_is_false_is_skipped(
    system: System, same: str, one_more: Written
) -> None:
    grow = loop("grow", {"count": 2}, one_more, condition=NEVER)

    ended = system.run(
        step("begin", same, input_mapping=1),
        grow,
        step("after", same, input_mapping=["{{ output }}", "{{ context.grow }}"]),
    )

    assert by_path(ended, "status")["grow"] == "skipped"
    assert ended["context"]["after"] == [1, None]
    assert paths(ended) == ["begin", "grow", "after"]


def test_a_loop_within_a_loop_has_an_index_of_its_own(
    system: System, same: str
) -> None:
    cell = inner("cell", same, given=["{{ context.row }}", "{{ loop.index }}"])
    row = inner("row", same, given="{{ loop.index }}")
    across = loop("across", {"count": 2, "collect": "all"}, cell)

    ended = system.run(loop("down", {"count": 2, "collect": "all"}, row, across))

    assert ended["output"] == {"down": [[[0, 0], [0, 1]], [[1, 0], [1, 1]]]}
    assert paths(ended) == [
        "down",
        "down[0]/row",
        "down[0]/across",
        "down[0]/across[0]/cell",
        "down[0]/across[1]/cell",
        "down[1]/row",
        "down[1]/across",
        "down[1]/across[0]/cell",
        "down[1]/across[1]/cell",
    ]


def test_a_turn_begins_when_the_one_before_has_ended(
    system: System, traces: Path
) -> None:
    spans = Spans(traces, "turns")
    work = inner(
        "work", system.role("test.span"), given=spans.given(who="t{{ loop.index }}")
    )

    ended = system.run(loop("again", {"count": 5}, work))

    assert ended["status"] == "completed", ended["error"]
    assert (spans.most_at_once, spans.begun) == (1, ["t0", "t1", "t2", "t3", "t4"])


# --- failures -----------------------------------------------------------------------


def test_a_step_that_fails_in_a_later_turn_fails_loop_and_execution(
    system: System, same: str, refuse: str
) -> None:
    body = inner("work", refuse, given={"value": "{{ loop.index }}", "refused": [2]})
    behind = inner("behind", same)

    ended = system.run(
        loop("again", {"count": 5, "collect": "all"}, body, behind), step("after", same)
    )

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "work")
    assert "2 is refused." in ended["error"]["message"]
    assert paths(ended)[-1] == "again[2]/work"
    assert by_path(ended, "status")["again"] == "failed"
    log = logs_by_key(ended)["again"]
    assert (log["output"], log["error"]["message"]) == (None, ended["error"]["message"])


def test_a_loop_that_fails_may_be_gone_on_after(
    system: System, same: str, bad: str
) -> None:
    again = loop("again", {"count": 3}, inner("work", bad), on_error="continue")
    given = [
        "{{ output }}",
        "{{ context.again }}",
        "{{ context.errors.again.message }}",
    ]

    ended = system.run(
        step("begin", same), again, step("after", same, input_mapping=given)
    )

    assert ended["status"] == "completed", ended["error"]
    output, value, message = ended["context"]["after"]
    assert (output, value) == (None, None)
    assert "The world is not ready." in message
    assert paths(ended) == ["begin", "again", "again[0]/work", "after"]


def test_a_limit_that_was_reached_may_be_gone_on_after(
    system: System, same: str, one_more: Written
) -> None:
    config = {"max_iterations": 2, "until": when("output", ">", 100)}
    grow = loop("grow", config, one_more, input_mapping=0, on_error="continue")
    after = step("after", same, input_mapping="{{ context.errors.grow.type }}")

    ended = system.run(grow, after)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == "max_iterations"


def test_a_turn_goes_on_behind_a_step_that_may_fail(
    system: System, same: str, bad: str
) -> None:
    work = inner("work", bad, on_error="continue")
    told = inner("told", same, given="{{ context.errors.work.message }}")

    ended = system.run(loop("again", {"count": 2, "collect": "all"}, work, told))

    assert ended["status"] == "completed", ended["error"]
    first, second = ended["output"]["again"]
    assert "not ready" in first
    assert "not ready" in second


def test_an_error_of_one_turn_is_not_seen_in_the_next(
    system: System, same: str, refuse: str
) -> None:
    given = {"value": "{{ loop.index }}", "refused": [0]}
    work = inner("work", refuse, given=given, on_error="continue")
    told = inner("told", same, given="{{ context.errors.work.type | default('none') }}")

    ended = system.run(loop("again", {"count": 2, "collect": "all"}, work, told))

    assert ended["output"]["again"][0] != "none"
    assert ended["output"]["again"][1] == "none"


def test_a_step_is_tried_again_in_each_turn(system: System) -> None:
    work = inner(
        "work",
        system.role("test.succeed_on"),
        given={"attempt": 3},
        max_retries=2,
        retry_delay_ms=10,
    )

    ended = system.run(loop("again", {"count": 3}, work))

    assert ended["status"] == "completed", ended["error"]
    assert [log["attempt"] for log in ended["step_logs"][1:]] == [3, 3, 3]


def test_used_up_retries_end_the_loop(system: System) -> None:
    work = inner(
        "work",
        system.role("test.succeed_on"),
        given={"attempt": 9},
        max_retries=1,
        retry_delay_ms=10,
    )

    ended = system.run(loop("again", {"count": 3}, work))

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "work")
    assert by_path(ended, "attempt")["again[0]/work"] == 2
    assert paths(ended) == ["again", "again[0]/work"]


@pytest.mark.parametrize("hold", ["test.hold", "test.ahold"])
def test_a_time_limit_inside_ends_the_loop(system: System, hold: str) -> None:
    given = {"trace": f"loop limit {hold}", "seconds": 20}
    work = inner("work", system.role(hold), given=given, timeout_ms=1_000)

    ended = system.run(loop("again", {"count": 3}, work))

    assert ended["status"] in {"failed", "timed_out"}
    assert by_path(ended, "status")["again[0]/work"] == "timed_out"
    assert ended["error"]["step_key"] == "work"


def test_a_template_that_does_not_resolve_fails_its_turn_by_name(
    system: System, same: str
) -> None:
    body = inner("one", same, given="{{ loop.last.no_such }}")

    ended = system.run(loop("again", {"count": 3}, body))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "one"


def test_an_input_that_does_not_resolve_fails_the_loop_without_a_turn(
    system: System, same: str
) -> None:
    begins = "{{ context.input.no_such }}"

    ended = system.run(
        loop("again", {"count": 3}, inner("one", same), input_mapping=begins)
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert (ended["error"]["step_key"], paths(ended)) == ("again", ["again"])


def test_an_output_mapping_that_does_not_resolve_fails_the_loop_after_its_turns(
    system: System, one_more: Written
) -> None:
    grow = loop(
        "grow",
        {"count": 2},
        one_more,
        input_mapping=0,
        output_mapping={"name": "{{ output.no_such }}"},
    )

    ended = system.run(grow)

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert (ended["error"]["step_key"], paths(ended)) == ("grow", turns(2))


def test_a_member_of_a_group_that_fails_ends_the_turn_and_cuts_the_others(
    system: System, bad: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "loop group")
    slow = inner(
        "slow",
        system.role("test.span"),
        given=spans.given(who="slow", seconds=20),
        parallel_group="g",
    )
    fails = inner("fails", bad, parallel_group="g")

    ended = system.run(loop("again", {"count": 3}, slow, fails, inner("behind", same)))

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "fails")
    assert by_path(ended, "status") | {"again[0]/slow": "cancelled"} == {
        "again": "failed",
        "again[0]/slow": "cancelled",
        "again[0]/fails": "failed",
    }


def test_the_loop_around_a_loop_fails_with_the_same_error(
    system: System, bad: str
) -> None:
    deep = loop("deep", {"count": 2}, inner("work", bad))

    ended = system.run(loop("around", {"count": 2}, deep))

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "work")
    assert by_path(ended, "status") == {
        "around": "failed",
        "around[0]/deep": "failed",
        "around[0]/deep[0]/work": "failed",
    }


def test_the_loop_around_goes_on_behind_a_loop_that_may_fail(
    system: System, same: str, bad: str
) -> None:
    deep = loop("deep", {"count": 2}, inner("work", bad), on_error="continue")
    told = inner("told", same, given="{{ context.errors.deep.step_key }}")

    ended = system.run(loop("around", {"count": 2, "collect": "all"}, deep, told))

    assert ended["status"] == "completed", ended["error"]
    assert len(ended["output"]["around"]) == 2


# --- steering -----------------------------------------------------------------------


def holding_in_turn(system: System, spans: Spans, turn: int, same: str) -> Written:
    """Write a loop whose step holds in one turn until it is released."""
    hold = inner(
        "hold",
        system.role("test.span"),
        given=spans.given(who="t{{ loop.index }}", seconds=25),
        condition=when("loop.index", "==", turn),
    )
    number = inner("number", same, given="{{ loop.index }}")
    return loop("again", {"count": 4, "collect": "all"}, hold, number)


def test_a_loop_is_cancelled_in_the_middle(
    system: System, same: str, traces: Path
) -> None:
    spans = Spans(traces, "loop cancelled")
    made = system.orchestration(
        holding_in_turn(system, spans, 2, same), step("after", same)
    )
    execution = system.execute(made)
    spans.have_begun(1)

    steer(system, execution, "cancel")
    ended = system.finished(execution)

    assert ended["status"] == "cancelled"
    assert by_path(ended, "status")["again"] == "cancelled"
    assert paths(ended)[-1] == "again[2]/hold"


def test_a_paused_loop_begins_no_step_until_it_is_resumed(
    system: System, same: str, traces: Path
) -> None:
    spans = Spans(traces, "loop paused")
    made = system.orchestration(
        holding_in_turn(system, spans, 2, same), step("after", same)
    )
    execution = system.execute(made)
    spans.have_begun(1)

    steer(system, execution, "pause")
    spans.release()
    until(lambda: spans.ended, what="the step's end")
    has_status(system, execution, "paused")
    system.run(step("meanwhile", same))
    paused = system.execution(execution)

    assert paused["status"] == "paused"
    assert "again[2]/number" not in paths(paused)

    steer(system, execution, "resume")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["again"] == [0, 1, 2, 3]
    assert spans.begun == ["t2"]


def test_a_loop_that_failed_goes_on_from_its_turn_when_it_is_retried(
    system: System, same: str, traces: Path
) -> None:
    given = {"trace": "loop mended", "value": "{{ loop.index }}"}
    work = inner(
        "work",
        system.role("test.await_file"),
        given=given,
        condition=when("loop.index", ">", 0),
    )
    first = inner("first", same, given="{{ loop.index }}")
    made = system.orchestration(
        loop("again", {"count": 3, "collect": "all"}, first, work)
    )
    execution = system.execute(made)
    failed = system.finished(execution)
    assert (failed["status"], paths(failed)[-1]) == ("failed", "again[1]/work")

    (traces / "loop mended").touch()
    steer(system, execution, "retry")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"again": [0, 1, 2]}
    before, now = by_path(failed, "finished_at"), by_path(ended, "finished_at")
    for path in ("again[0]/first", "again[1]/first"):
        assert now[path] == before[path]


def test_a_while_sees_what_the_first_turn_would_begin_with(
    system: System, add: str
) -> None:
    before = step("before", add, input_mapping={"a": 50, "b": 50})
    grow = {
        "key": "grow",
        "step_type": "loop",
        "config": {
            "max_iterations": 10,
            "while": {"field": "output", "operator": "<", "value": 8},
        },
        "input_mapping": 5,
        "steps": [
            step("one", add, key="one", input_mapping={"a": "{{ output }}", "b": 1})
        ],
    }

    ended = system.run(before, grow)

    assert ended["context"]["grow"] == 8
