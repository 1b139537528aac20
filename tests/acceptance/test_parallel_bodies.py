"""Parallel steps with a body: all branches at once, run by real workers."""

from __future__ import annotations

from functools import reduce
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
    has_status,
    inner,
    loop,
    paths,
    route,
    steer,
    when,
)
from tests.acceptance.system import System, step, until

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
def span(system: System) -> str:
    return system.role("test.span")


def holding(span: str, spans: Spans, key: str, **fields: Any) -> Written:
    """Write a branch that holds until it is released."""
    return inner(key, span, given=spans.given(who=key, seconds=25), **fields)


# --- all of them ----------------------------------------------------------------------


def test_all_branches_run_and_are_waited_for(system: System, same: str) -> None:
    ended = system.run(
        abreast("both", {}, inner("a", same, given=1), inner("b", same, given=2)),
        step("after", same),
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["both"] == ended["context"]["after"] == {"a": 1, "b": 2}
    assert paths(ended) == ["both", "both[a]/a", "both[b]/b", "after"]


def test_branches_run_at_the_same_time(system: System, span: str, traces: Path) -> None:
    spans = Spans(traces, "abreast")
    steps = [holding(span, spans, f"b{n}") for n in range(6)]
    execution = system.execute(system.orchestration(abreast("all", {}, *steps)))

    spans.have_begun(6)
    spans.release()

    output = system.finished(execution)["output"]
    assert output == {"all": {f"b{n}": f"b{n}" for n in range(6)}}


def test_the_steps_of_a_branch_run_in_order(system: System, add: str) -> None:
    more = {"a": "{{ output }}", "b": 1}
    steps = [
        inner("a1", add, branch="a", given=more),
        inner("a2", add, branch="a", given=more),
        inner("b1", add, branch="b", given=more),
    ]

    ended = system.run(abreast("both", {}, *steps, input_mapping=10))

    assert ended["output"] == {"both": {"a": 12, "b": 11}}
    assert paths(ended) == ["both", "both[a]/a1", "both[a]/a2", "both[b]/b1"]


def test_without_an_input_mapping_branches_begin_with_what_came_before(
    system: System, same: str
) -> None:
    ended = system.run(
        step("before", same, input_mapping="b4"),
        abreast("both", {}, inner("a", same), inner("b", same)),
    )

    assert ended["context"]["both"] == {"a": "b4", "b": "b4"}


def test_a_group_and_a_skipped_step_inside_a_branch(system: System, same: str) -> None:
    steps = [
        inner("p", same, given="p", branch="a", parallel_group="g"),
        inner("q", same, given="q", branch="a", parallel_group="g"),
        inner("never", same, branch="a", condition=NEVER),
        inner("b", same, given="b"),
    ]

    ended = system.run(abreast("both", {}, *steps))

    assert ended["output"] == {"both": {"a": {"p": "p", "q": "q"}, "b": "b"}}


def test_a_single_branch_is_an_object_as_well(system: System, same: str) -> None:
    assert system.run(abreast("both", {}, inner("a", same, given=1)))["output"] == {
        "both": {"a": 1}
    }


def test_a_parallel_step_whose_condition_is_false_is_skipped(
    system: System, same: str
) -> None:
    ended = system.run(
        abreast("both", {}, inner("a", same), condition=NEVER), step("after", same)
    )

    assert by_path(ended, "status") == {"both": "skipped", "after": "completed"}


# --- how many at a time ----------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2])
def test_no_more_branches_are_under_way_than_allowed(
    system: System, span: str, traces: Path, window: int
) -> None:
    spans = Spans(traces, f"branches {window}")
    steps = [
        inner(
            f"b{n}{m}",
            span,
            branch=f"b{n}",
            given=spans.given(who=f"b{n}", seconds=0.05),
        )
        for n in range(5)
        for m in range(2)
    ]

    ended = system.run(abreast("all", {"max_parallel": window}, *steps))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"all": {f"b{n}": f"b{n}" for n in range(5)}}
    assert spans.most_at_once == window
    if window == 1:
        assert spans.begun[::2] == spans.begun[1::2]


def test_any_one_by_one_begins_no_more_after_the_first_success(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "any one by one")
    steps = [inner(key, span, given=spans.given(who=key)) for key in "abc"]

    ended = system.run(abreast("one", {"join": "any", "max_parallel": 1}, *steps))

    assert ended["status"] == "completed", ended["error"]
    (first,) = spans.begun
    none = dict.fromkeys("abc")
    assert ended["output"] == {"one": none | {first: first}}


def test_any_one_by_one_tries_the_next_after_a_failure(
    system: System, bad: str, same: str
) -> None:
    steps = [inner("a", bad), inner("b", bad), inner("c", same, given="c")]

    ended = system.run(abreast("one", {"join": "any", "max_parallel": 1}, *steps))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"one": {"a": None, "b": None, "c": "c"}}


# --- enough of them --------------------------------------------------------------------


def test_any_goes_on_with_the_first_and_cuts_the_others(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "any")
    steps = [
        holding(span, spans, "slow"),
        inner("quick", same, given="quick", branch="q"),
        holding(span, spans, "slower", branch="s"),
        inner("behind", same, branch="s"),
    ]

    ended = system.run(
        abreast("race", {"join": "any"}, *steps), step("after", same), seconds=20
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["race"] == {"slow": None, "q": "quick", "s": None}
    found = by_path(ended, "status")
    assert found["race[q]/quick"] == "completed"
    assert {found.get("race[slow]/slow"), found.get("race[s]/slower")} <= {
        "cancelled",
        None,
    }
    assert "race[s]/behind" not in found
    spans.release()
    system.run(step("meanwhile", same))
    assert paths(system.execution(ended["id"])) == paths(ended)


def test_any_goes_on_although_others_failed(
    system: System, bad: str, same: str
) -> None:
    steps = [
        inner("fails", bad),
        inner("first", same, given={"ok": 1}, branch="works"),
        inner("works_on", same, branch="works"),
    ]

    ended = system.run(abreast("race", {"join": "any"}, *steps), step("after", same))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["race"] == {"fails": None, "works": {"ok": 1}}


def test_any_of_branches_that_all_fail_is_too_few(
    system: System, bad: str, same: str
) -> None:
    steps = [inner("a", bad), inner("b", bad)]

    ended = system.run(abreast("race", {"join": "any"}, *steps), step("after", same))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "too_few_succeeded")
    assert ended["error"]["step_key"] == "race"
    assert by_path(ended, "status") == {
        "race": "failed",
        "race[a]/a": "failed",
        "race[b]/b": "failed",
    }


def test_n_of_m_goes_on_when_so_many_have_succeeded(
    system: System, bad: str, same: str, span: str, traces: Path
) -> None:
    spans = Spans(traces, "two of four")
    steps = [
        inner("a", same, given="a"),
        inner("fails", bad),
        holding(span, spans, "slow"),
        inner("d", same, given="d"),
    ]

    ended = system.run(abreast("some", {"join": "n_of_m", "n": 2}, *steps), seconds=20)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {
        "some": {"a": "a", "fails": None, "slow": None, "d": "d"}
    }


def test_n_of_m_ends_as_soon_as_too_few_are_left(
    system: System, bad: str, span: str, traces: Path
) -> None:
    spans = Spans(traces, "too few")
    steps = [holding(span, spans, "slow"), inner("b", bad), inner("c", bad)]

    ended = system.run(abreast("some", {"join": "n_of_m", "n": 2}, *steps), seconds=20)

    assert (ended["status"], ended["error"]["type"]) == ("failed", "too_few_succeeded")
    assert by_path(ended, "status")["some"] == "failed"
    assert by_path(ended, "status").get("some[slow]/slow") in {None, "cancelled"}


def test_n_of_m_may_be_all_of_them(system: System, same: str) -> None:
    steps = [inner(key, same, given=key) for key in "abc"]

    ended = system.run(abreast("some", {"join": "n_of_m", "n": 3}, *steps))

    assert ended["output"] == {"some": {"a": "a", "b": "b", "c": "c"}}


# --- failures --------------------------------------------------------------------------


def test_a_branch_that_fails_ends_all_and_cuts_the_others(
    system: System, bad: str, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "all cut")
    steps = [
        holding(span, spans, "slow", branch="a"),
        inner("behind", same, branch="a"),
        inner("fails", bad),
    ]

    ended = system.run(abreast("both", {}, *steps), step("after", same), seconds=20)

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "fails")
    assert by_path(ended, "status") | {"both[a]/slow": "cancelled"} == {
        "both": "failed",
        "both[a]/slow": "cancelled",
        "both[fails]/fails": "failed",
    }


def test_a_parallel_step_that_fails_may_be_gone_on_after(
    system: System, bad: str, same: str
) -> None:
    both = abreast("both", {}, inner("a", bad), inner("b", same), on_error="continue")
    given = ["{{ context.both }}", "{{ context.errors.both.message }}"]

    ended = system.run(both, step("after", same, input_mapping=given))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"][0] is None
    assert "not ready" in ended["context"]["after"][1]


def test_a_branch_with_a_step_that_may_fail_has_succeeded(
    system: System, bad: str, same: str
) -> None:
    steps = [inner("a", bad, on_error="continue"), inner("b", same, given="b")]

    ended = system.run(abreast("both", {"join": "n_of_m", "n": 2}, *steps))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"]["both"] == {"a": None, "b": "b"}


def test_a_branch_is_tried_again_before_it_counts_as_failed(system: System) -> None:
    works = system.role("test.succeed_on")
    steps = [
        inner(f"b{n}", works, given={"attempt": n}, max_retries=3, retry_delay_ms=10)
        for n in (1, 2, 3)
    ]

    ended = system.run(abreast("all", {}, *steps))

    assert ended["status"] == "completed", ended["error"]
    assert [log["attempt"] for log in ended["step_logs"][1:]] == [1, 2, 3]


def test_an_input_that_does_not_resolve_fails_the_step_without_a_branch(
    system: System, same: str
) -> None:
    begins = "{{ context.input.no_such }}"

    ended = system.run(abreast("both", {}, inner("a", same), input_mapping=begins))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert (ended["error"]["step_key"], paths(ended)) == ("both", ["both"])


# --- beside and within others ------------------------------------------------------------


def test_steps_that_hold_bodies_stand_in_a_group_beside_plain_ones(
    system: System, same: str, add: str
) -> None:
    more = {"a": "{{ output }}", "b": 1}
    group = {"parallel_group": "g"}
    members = [
        inner("plain", same, given="plain", **group),
        loop(
            "grow", {"count": 3}, inner("m1", add, given=more), input_mapping=0, **group
        ),
        each("every", [1, 2], inner("m2", same), **group),
        route("way", {"cases": [case("m3", NEVER)]}, inner("m3", same), **group),
        abreast("both", {}, inner("m4", same, given=4), **group),
        inner("other", same, given="other", **group),
    ]
    after = step("after", same)

    ended = system.run(step("before", same), *members, after)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == {
        "plain": "plain",
        "grow": 3,
        "every": [1, 2],
        "way": None,
        "both": {"m4": 4},
        "other": "other",
    }
    assert paths(ended) == [
        "before",
        "plain",
        "grow",
        "grow[0]/m1",
        "grow[1]/m1",
        "grow[2]/m1",
        "every",
        "every[0]/m2",
        "every[1]/m2",
        "way",
        "both",
        "both[m4]/m4",
        "other",
        "after",
    ]


def test_a_group_of_nothing_but_bodies_is_joined(
    system: System, same: str, add: str
) -> None:
    members = [
        each(f"map{n}", list(range(n)), inner(f"m{n}", same), parallel_group="g")
        for n in range(6)
    ]

    ended = system.run(*members, step("after", same))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == {f"map{n}": list(range(n)) for n in range(6)}


def test_a_plain_member_that_fails_cuts_a_body_beside_it(
    system: System, bad: str, span: str, traces: Path
) -> None:
    spans = Spans(traces, "cut beside")
    work = inner("work", span, given=spans.given(who="{{ item }}", seconds=25))
    late = inner("late", bad, parallel_group="g", max_retries=2, retry_delay_ms=200)

    ended = system.run(each("every", [1, 2, 3], work, parallel_group="g"), late)

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "late")
    assert by_path(ended, "status")["every"] == "cancelled"
    inside = {
        path: status for path, status in by_path(ended, "status").items() if "/" in path
    }
    assert set(inside.values()) <= {"cancelled"}


def test_a_body_that_fails_cuts_a_plain_member_beside_it(
    system: System, bad: str, span: str, traces: Path
) -> None:
    spans = Spans(traces, "cut plain")
    plain = holding(span, spans, "plain", parallel_group="g")
    every = each("every", [1], inner("fails", bad), parallel_group="g")

    ended = system.run(plain, every, seconds=20)

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "fails")
    assert by_path(ended, "status").get("plain", "cancelled") == "cancelled"


def test_a_body_in_a_group_that_may_fail_lets_the_others_count(
    system: System, bad: str, same: str
) -> None:
    fails = each(
        "every", [1], inner("fails", bad), parallel_group="g", on_error="continue"
    )

    ended = system.run(
        fails, inner("plain", same, given=1, parallel_group="g"), step("after", same)
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == {"every": None, "plain": 1}


def test_bodies_within_bodies(system: System, add: str, same: str) -> None:
    way = route(
        "way",
        {"cases": [case("large", when("item", ">", 1))], "else": "small"},
        inner("large", add, given={"a": "{{ item }}", "b": 10}),
        inner("small", same, given="{{ context.input.word }}"),
    )
    every = each("every", [1, 2, 3], way, inner("last", same))
    both = abreast("both", {}, every, inner("beside", same))

    ended = system.run(both, given={"word": "w"})

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {
        "both": {"every": ["w", 12, 13], "beside": {"word": "w"}}
    }
    assert "both[every]/every[1]/way[large]/large" in paths(ended)


def around(step: Written, depth: int) -> Written:
    """Put a step into a body of one of the four types, by turns."""
    key = f"d{depth}"
    always = {"field": "context.input.no_such_thing", "operator": "not_exists"}
    return [
        loop(key, {"count": 1}, step),
        each(key, ["{{ output }}"], step),
        route(key, {"cases": [case(step["key"], always)]}, step),
        abreast(key, {}, step),
    ][depth % 4]


def test_steps_may_be_nested_twenty_levels_deep(system: System, same: str) -> None:
    leaf = inner("leaf", same)
    nested = reduce(around, range(19), leaf)
    before = step("before", same, input_mapping="deep down")

    ended = system.run(before, nested, step("after", same))

    assert ended["status"] == "completed", ended["error"]
    assert len(paths(ended)) == 22
    logs = {log["step_key"]: log for log in ended["step_logs"]}
    assert logs["leaf"]["output"] == "deep down"
    assert logs["leaf"]["path"].count("/") == 19
    found = ended["context"]["after"]
    while not isinstance(found, str):
        (found,) = found.values() if isinstance(found, dict) else found
    assert found == "deep down"


def test_a_failure_twenty_levels_deep_ends_everything_with_its_error(
    system: System, bad: str, same: str
) -> None:
    nested = reduce(around, range(19), inner("leaf", bad))

    ended = system.run(
        step("before", same, input_mapping="deep down"), nested, step("after", same)
    )

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "leaf")
    assert set(list(by_path(ended, "status").values())[1:]) == {"failed"}


def test_bodies_stand_first_and_last(system: System, same: str) -> None:
    ended = system.run(
        abreast("first", {}, inner("a", same), inner("b", same)),
        each("middle", ["{{ output.a }}", "{{ output.b }}"], inner("c", same)),
        loop("last", {"count": 1}, inner("d", same)),
        given={"x": 1},
        output={"end": "{{ output }}"},
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"end": [{"x": 1}, {"x": 1}]}


# --- steering --------------------------------------------------------------------------


def test_a_cancelled_parallel_step_takes_its_branches_along(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "parallel cancelled")
    steps = [
        holding(span, spans, "a1", branch="a"),
        inner("a2", same, branch="a"),
        holding(span, spans, "b"),
    ]
    execution = system.execute(system.orchestration(abreast("both", {}, *steps)))
    spans.have_begun(2)

    steer(system, execution, "cancel")
    ended = system.finished(execution)

    assert ended["status"] == "cancelled"
    assert by_path(ended, "status") == {
        "both": "cancelled",
        "both[a]/a1": "cancelled",
        "both[b]/b": "cancelled",
    }


def test_paused_branches_go_on_when_they_are_resumed(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "parallel paused")
    steps = [
        each(
            "every",
            ["{{ context.input.one }}", "{{ context.input.two }}"],
            inner("work", span, given=spans.given(who="{{ item }}", seconds=25)),
            inner("behind", same),
        ),
        holding(span, spans, "beside"),
    ]
    made = system.orchestration(abreast("both", {}, *steps), step("after", same))
    execution = system.execute(made, {"one": "1", "two": "2"})
    spans.have_begun(3)

    steer(system, execution, "pause")
    spans.release()
    until(lambda: len(spans.ended) == 3, what="the end of those that ran")
    has_status(system, execution, "paused")
    assert "both[every]/every[0]/behind" not in paths(system.execution(execution))

    steer(system, execution, "resume")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == {"every": ["1", "2"], "beside": "beside"}
    assert len(spans.begun) == 3


def test_a_parallel_step_that_failed_is_retried_where_it_failed(
    system: System, same: str, traces: Path
) -> None:
    work = inner(
        "work",
        system.role("test.await_file"),
        given={"trace": "parallel mended", "value": "{{ context.first }}"},
        branch="a",
    )
    steps = [inner("first", same, given=1, branch="a"), work, inner("b", same, given=2)]
    made = system.orchestration(
        abreast("both", {"max_parallel": 1}, *steps), step("after", same)
    )
    execution = system.execute(made)
    assert system.finished(execution)["error"]["step_key"] == "work"

    (traces / "parallel mended").touch()
    steer(system, execution, "retry")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == {"a": 1, "b": 2}
