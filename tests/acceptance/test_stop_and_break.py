"""Steps that end more than themselves, run by real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import (
    NEVER,
    Spans,
    Written,
    abreast,
    by_path,
    case,
    each,
    inner,
    leave,
    loop,
    paths,
    route,
    stop,
    when,
)
from tests.acceptance.system import System, logs_by_key, step

pytestmark = pytest.mark.acceptance
ALWAYS = {"field": "context.input.no_such_thing", "operator": "not_exists"}
THIRD = when("loop.index", "==", 2)


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def bad(system: System) -> str:
    return system.role("test.fail")


@pytest.fixture(scope="module")
def span(system: System) -> str:
    return system.role("test.span")


@pytest.fixture(scope="module")
def number(same: str) -> Written:
    return inner("number", same, given="{{ loop.index }}")


def holding(span: str, spans: Spans, key: str, **fields: Any) -> Written:
    return inner(key, span, given=spans.given(who=key, seconds=25), **fields)


# --- break ----------------------------------------------------------------------------


def test_a_break_ends_its_loop_and_what_comes_after_it_does_not_run(
    system: System, same: str, number: Written
) -> None:
    ended = system.run(
        loop("again", {}, number, leave("enough", THIRD), inner("behind", same)),
        step("after", same),
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"again": 2, "after": 2}
    found = by_path(ended, "status")
    assert found.get("again[2]/behind") is None
    assert "again[3]/number" not in found
    assert found["again[0]/enough"] == found["again[1]/enough"] == "skipped"
    assert found["again[2]/enough"] == "completed"
    assert found["again"] == "completed"


def test_a_break_whose_condition_is_false_lets_the_turn_go_on(
    system: System, same: str, number: Written
) -> None:
    behind = inner("behind", same, given=["{{ output }}", "behind"])

    ended = system.run(
        loop("again", {"count": 2}, number, leave("enough", NEVER), behind)
    )

    assert ended["output"] == {"again": [1, "behind"]}


def test_the_broken_turn_is_among_all_of_them(
    system: System, number: Written, same: str
) -> None:
    ended = system.run(
        loop(
            "again",
            {"collect": "all"},
            number,
            leave("enough", THIRD),
            inner("behind", same, given="behind {{ output }}"),
        )
    )

    assert ended["output"] == {"again": ["behind 0", "behind 1", 2]}


def test_a_break_that_stands_first_comes_to_what_the_turn_began_with(
    system: System, same: str
) -> None:
    ended = system.run(
        loop(
            "again",
            {"collect": "all"},
            leave("enough", THIRD),
            inner("more", same, given=["{{ output }}"]),
            input_mapping="x",
        )
    )

    assert ended["output"] == {"again": [["x"], [["x"]], [["x"]]]}


def test_a_break_in_the_first_turn_comes_to_the_loops_input(
    system: System, same: str
) -> None:
    ended = system.run(
        loop("again", {}, leave("out", ALWAYS), inner("no", same), input_mapping="x")
    )

    assert (ended["status"], ended["output"]) == ("completed", {"again": "x"})


def test_a_break_in_the_last_permitted_turn_is_in_time(
    system: System, number: Written
) -> None:
    config = {"max_iterations": 3}

    ended = system.run(loop("again", config, number, leave("enough", THIRD)))

    assert (ended["status"], ended["output"]) == ("completed", {"again": 2})


def test_a_loop_that_is_never_left_fails_at_its_limit(
    system: System, number: Written
) -> None:
    config = {"max_iterations": 2}

    ended = system.run(loop("again", config, number, leave("enough", THIRD)))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "max_iterations")


def test_a_break_counts_and_an_until_is_not_asked(
    system: System, number: Written
) -> None:
    until = when("output", "==", "{{ context.number }}0")

    ended = system.run(loop("again", {"until": until}, number, leave("out", THIRD)))

    assert (ended["status"], ended["output"]) == ("completed", {"again": 2})


def test_a_break_after_a_group_comes_to_what_the_group_did(
    system: System, same: str
) -> None:
    group = [inner(key, same, given=key, parallel_group="g") for key in "ab"]

    ended = system.run(loop("again", {}, *group, leave("out", ALWAYS)))

    assert ended["output"] == {"again": {"a": "a", "b": "b"}}


def test_a_break_may_read_the_turns_steps(system: System, number: Written) -> None:
    condition = when("context.number", "==", 1)

    ended = system.run(loop("again", {}, number, leave("out", condition)))

    assert ended["output"] == {"again": 1}


# --- a break further in -----------------------------------------------------------------


def test_a_break_in_a_branch_ends_the_loop(
    system: System, same: str, number: Written
) -> None:
    way = route(
        "way",
        {"cases": [case("done", THIRD)], "else": "go_on"},
        leave("out", branch="done"),
        inner("never", same, branch="done"),
        inner("go_on", same, given="went on"),
    )

    ended = system.run(
        loop("again", {"collect": "all"}, number, way, inner("behind", same)),
        step("after", same),
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == ["went on", "went on", 2]
    found = by_path(ended, "status")
    assert found["again[2]/way[done]/out"] == "completed"
    assert found["again[2]/way"] == "cancelled"
    assert "again[2]/way[done]/never" not in found
    assert "again[2]/behind" not in found


def test_a_break_behind_other_steps_of_a_branch_comes_to_their_output(
    system: System, same: str
) -> None:
    way = route(
        "way",
        {"cases": [case("done", ALWAYS)]},
        inner("last_words", same, branch="done", given="bye"),
        leave("out", branch="done"),
    )

    assert system.run(loop("again", {}, way))["output"] == {"again": "bye"}


def test_a_break_in_branches_within_branches_ends_the_loop(
    system: System, number: Written
) -> None:
    deep = route("deep", {"cases": [case("out", ALWAYS)]}, leave("out"))
    way = route("way", {"cases": [case("deep", THIRD)]}, deep)

    ended = system.run(loop("again", {}, number, way))

    assert (ended["status"], ended["output"]) == ("completed", {"again": 2})


def test_a_break_in_a_parallel_step_ends_the_loop(
    system: System, same: str, number: Written
) -> None:
    both = abreast(
        "both",
        {"max_parallel": 1},
        inner("beside", same, given="beside"),
        leave("out", THIRD),
    )

    ended = system.run(
        loop("again", {"collect": "all"}, number, both, inner("behind", same, given=0)),
        step("after", same),
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == [0, 0, 2]
    assert "again[2]/behind" not in paths(ended)


def test_a_break_cuts_what_runs_beside_it(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "broken beside")
    both = abreast("both", {}, holding(span, spans, "beside"), leave("out", ALWAYS))

    ended = system.run(loop("again", {}, both), step("after", same), seconds=20)

    assert ended["status"] == "completed", ended["error"]
    found = by_path(ended, "status")
    assert found["again"] == found["after"] == "completed"
    assert found["again[0]/both"] == "cancelled"
    assert found.get("again[0]/both[beside]/beside", "cancelled") == "cancelled"
    spans.release()
    system.run(step("meanwhile", same))
    assert by_path(system.execution(ended["id"]), "status") == found


def test_a_break_ends_the_innermost_loop_alone(
    system: System, same: str, number: Written
) -> None:
    deep = loop("deep", {}, number, leave("out", THIRD))

    ended = system.run(
        loop("around", {"count": 3, "collect": "all"}, deep, inner("behind", same))
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"around": [2, 2, 2]}
    assert "around[2]/behind" in paths(ended)


def test_every_item_of_a_map_leaves_a_loop_of_its_own(
    system: System, number: Written
) -> None:
    out = leave("out", when("loop.index", ">=", "{{ item }}"))

    ended = system.run(each("each", [0, 3, 1], loop("again", {}, number, out)))

    assert ended["output"] == {"each": [0, 3, 1]}


def test_a_break_whose_condition_does_not_resolve_fails_its_turn(
    system: System, number: Written
) -> None:
    out = leave("out", when("context.number", "==", "{{ context.input.no_such }}"))

    ended = system.run(loop("again", {}, number, out))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "out"


# --- stop: completed --------------------------------------------------------------------


def test_a_stop_completes_the_execution_and_nothing_after_it_runs(
    system: System, same: str
) -> None:
    ended = system.run(step("first", same), stop("end"), step("after", same))

    assert ended["status"] == "completed", ended["error"]
    assert by_path(ended, "status") == {"first": "completed", "end": "completed"}
    assert ended["error"] is None


def test_a_stop_says_what_the_executions_output_is(system: System, same: str) -> None:
    output = {"was": "{{ output.x }}", "fixed": 1}

    ended = system.run(
        step("first", same),
        stop("end", {"output": output}),
        step("after", same),
        given={"x": 7},
        output={"never": "{{ context.after }}"},
    )

    assert (ended["status"], ended["output"]) == ("completed", {"was": 7, "fixed": 1})


def test_without_an_output_of_its_own_a_stop_leaves_the_orchestrations(
    system: System, same: str
) -> None:
    ended = system.run(
        step("first", same),
        stop("end"),
        step("after", same),
        given={"x": 7},
        output={"x": "{{ context.first.x }}"},
    )

    assert (ended["status"], ended["output"]) == ("completed", {"x": 7})


@pytest.mark.parametrize(
    "output",
    [
        None,
        0,
        "",
        [],
        {},
        False,
    ],
)
def test_a_stop_may_give_what_is_next_to_nothing(
    system: System, same: str, output: Any
) -> None:
    ended = system.run(
        step("first", same),
        stop("end", {"output": "{{ context.input.value }}"}),
        given={"value": output},
    )

    assert (ended["status"], ended["output"]) == ("completed", output)


def test_a_stop_whose_condition_is_false_is_skipped(system: System, same: str) -> None:
    ended = system.run(
        step("first", same, input_mapping="first"),
        stop("end", condition=NEVER),
        step("after", same),
    )

    assert by_path(ended, "status") == {
        "first": "completed",
        "end": "skipped",
        "after": "completed",
    }
    assert ended["context"]["after"] == "first"


def test_a_stop_may_be_the_only_step(system: System) -> None:
    ended = system.run(stop("end", {"output": "{{ context.input.x }}"}), given={"x": 1})

    assert (ended["status"], ended["output"]) == ("completed", 1)


def test_a_stop_inside_nested_bodies_ends_the_execution_and_cuts_all_else(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "stopped deep")
    way = route(
        "way",
        {"cases": [case("end", when("item", "==", 3))], "else": "hold"},
        stop("end", {"output": {"found": "{{ item }}", "turn": "{{ loop.index }}"}}),
        holding(span, spans, "hold"),
    )
    every = each("every", [1, 2, 3, 4, 5], way, config={"max_parallel": 3})
    both = abreast("both", {}, loop("again", {}, every), holding(span, spans, "beside"))

    ended = system.run(both, step("after", same), seconds=20)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"found": 3, "turn": 0}
    found = by_path(ended, "status")
    end = "both[again]/again[0]/every[2]/way[end]/end"
    assert found.pop(end) == "completed"
    assert set(found.values()) == {"cancelled"}
    assert "after" not in found
    begun = list(spans.begun)
    spans.release()
    system.run(step("meanwhile", same))
    assert spans.begun == begun
    again = system.execution(ended["id"])
    assert (again["status"], by_path(again, "status")) == (
        "completed",
        by_path(ended, "status"),
    )


def test_a_stop_in_a_later_turn_ends_everything(
    system: System, same: str, number: Written
) -> None:
    end = stop("end", {"output": "{{ context.number }}"}, condition=THIRD)

    ended = system.run(loop("again", {}, number, end), step("after", same))

    assert (ended["status"], ended["output"]) == ("completed", 2)
    assert by_path(ended, "status")["again"] == "cancelled"
    assert paths(ended)[-1] == "again[2]/end"


def test_a_stop_in_a_group_cuts_what_is_beside_it(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "stopped group")
    beside = [
        holding(span, spans, f"b{n}", parallel_group="g", timeout_ms=60_000)
        for n in range(3)
    ]

    ended = system.run(
        *beside, stop("end", parallel_group="g"), step("after", same), seconds=20
    )

    assert ended["status"] == "completed", ended["error"]
    found = by_path(ended, "status")
    assert found.pop("end") == "completed"
    assert set(found.values()) <= {"cancelled"}
    assert "after" not in found


def test_a_stop_before_what_the_orchestrations_output_reads_says_so_by_name(
    system: System, same: str
) -> None:
    ended = system.run(
        step("first", same),
        stop("end"),
        step("after", same),
        output={"x": "{{ context.after }}"},
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")


# --- stop: failed -----------------------------------------------------------------------


def test_a_stop_fails_the_execution_with_its_message(system: System, same: str) -> None:
    config = {"status": "failed", "message": "No stock of {{ output.what }}."}

    ended = system.run(
        step("first", same),
        stop("end", config),
        step("after", same),
        given={"what": "tea"},
    )

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "stopped"
    assert ended["error"]["message"] == "No stock of tea."
    assert ended["error"]["step_key"] == "end"
    assert ended["output"] is None
    assert "after" not in paths(ended)


def test_a_stop_without_a_message_still_says_something(
    system: System, same: str
) -> None:
    ended = system.run(step("first", same), stop("end", {"status": "failed"}))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "stopped")
    assert ended["error"]["message"]


def test_a_stop_that_fails_is_not_held_up_by_steps_around_that_may_fail(
    system: System, same: str
) -> None:
    end = stop("end", {"status": "failed", "message": "over"})
    every = each(
        "every",
        [1, 2],
        loop("again", {}, end, on_error="continue"),
        config={"item_errors": "continue"},
        on_error="continue",
    )

    ended = system.run(every, step("after", same))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "stopped")
    assert ended["error"]["message"] == "over"
    assert "after" not in paths(ended)


def test_a_stop_that_fails_cuts_what_is_under_way(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "stopped failed")
    end = stop("end", {"status": "failed", "message": "over"})

    ended = system.run(
        abreast("both", {}, holding(span, spans, "hold"), end), seconds=20
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "stopped")
    found = by_path(ended, "status")
    assert found["both"] == "cancelled"
    assert found.get("both[hold]/hold", "cancelled") == "cancelled"


@pytest.mark.parametrize(
    "config",
    [
        {"status": "failed", "message": "{{ context.input.no_such }}"},
        {"output": "{{ context.input.no_such }}"},
    ],
    ids=["message", "output"],
)
def test_a_stop_whose_template_does_not_resolve_fails_by_name(
    system: System, same: str, config: dict[str, Any]
) -> None:
    ended = system.run(step("first", same), stop("end", config))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "end"
    assert logs_by_key(ended)["end"]["status"] == "failed"


def test_a_stop_behind_a_failed_step_is_never_reached(system: System, bad: str) -> None:
    ended = system.run(step("first", bad), stop("end"))

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "first")
    assert paths(ended) == ["first"]
