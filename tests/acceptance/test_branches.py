"""Branches: those whose cases match, run by real workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import (
    NEVER,
    Spans,
    Written,
    by_path,
    case,
    each,
    inner,
    paths,
    route,
    steer,
    when,
)
from tests.acceptance.system import System, step

pytestmark = pytest.mark.acceptance
ALWAYS = {"field": "context.input.no_such_thing", "operator": "not_exists"}


@pytest.fixture(scope="module")
def same(system: System) -> str:
    return system.role("util.identity")


@pytest.fixture(scope="module")
def bad(system: System) -> str:
    return system.role("test.fail")


def topic(name: str) -> dict[str, Any]:
    return when("context.input.topic", "==", name)


def says(same: str, *names: str) -> list[Written]:
    """Write a branch for each name, of one step that says it."""
    return [inner(name, same, given=f"this is {name}") for name in names]


# --- which one runs -------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["billing", "sales"])
def test_the_branch_whose_case_matches_runs_and_no_other(
    system: System, same: str, chosen: str
) -> None:
    cases = [case(name, topic(name)) for name in ("billing", "sales")]

    ended = system.run(
        route("way", {"cases": cases}, *says(same, "billing", "sales")),
        step("after", same),
        given={"topic": chosen},
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"way": f"this is {chosen}", "after": f"this is {chosen}"}
    assert paths(ended) == ["way", f"way[{chosen}]/{chosen}", "after"]
    assert by_path(ended, "input")["way"] == {"branches": [chosen]}


def test_of_several_cases_that_match_the_first_one_counts(
    system: System, same: str
) -> None:
    cases = [case("c", NEVER), case("b", ALWAYS), case("a", ALWAYS)]

    ended = system.run(route("way", {"cases": cases}, *says(same, "a", "b", "c")))

    assert ended["output"] == {"way": "this is b"}


def test_two_cases_may_lead_to_one_branch(system: System, same: str) -> None:
    cases = [case("a", NEVER), case("b", NEVER), case("a", ALWAYS)]

    ended = system.run(route("way", {"cases": cases}, *says(same, "a", "b")))

    assert by_path(ended, "input")["way"] == {"branches": ["a"]}


def test_else_runs_when_no_case_matches(system: System, same: str) -> None:
    config = {"cases": [case("a", NEVER)], "else": "b"}

    ended = system.run(route("way", config, *says(same, "a", "b")))

    assert ended["output"] == {"way": "this is b"}
    assert by_path(ended, "input")["way"] == {"branches": ["b"]}


def test_else_does_not_run_when_a_case_matches(system: System, same: str) -> None:
    config = {"cases": [case("a", ALWAYS)], "else": "b"}

    ended = system.run(route("way", config, *says(same, "a", "b")))

    assert paths(ended) == ["way", "way[a]/a"]


@pytest.mark.parametrize("mode", ["first", "all"])
def test_a_branch_step_is_skipped_when_nothing_matches(
    system: System, same: str, mode: str
) -> None:
    config = {"cases": [case("a", NEVER)], "mode": mode}

    ended = system.run(
        step("before", same, input_mapping="as it was"),
        route("way", config, inner("a", same)),
        step("after", same, input_mapping=["{{ output }}", "{{ context.way }}"]),
    )

    assert ended["status"] == "completed", ended["error"]
    assert by_path(ended, "status")["way"] == "skipped"
    assert ended["context"]["after"] == ["as it was", None]
    assert paths(ended) == ["before", "way", "after"]


def test_a_branch_step_whose_condition_is_false_is_skipped(
    system: System, same: str
) -> None:
    way = route(
        "way", {"cases": [case("a", ALWAYS)]}, inner("a", same), condition=NEVER
    )

    ended = system.run(way)

    assert (by_path(ended, "status"), ended["output"]) == (
        {"way": "skipped"},
        {"way": None},
    )


def test_a_case_reads_the_output_before_and_names_of_the_context(
    system: System, same: str
) -> None:
    both = {"all": [when("output.x", "==", 1), when("context.named", "==", 1)]}
    before = step("before", same, output_mapping={"named": "{{ output.x }}"})

    ended = system.run(
        before,
        route("way", {"cases": [case("a", both)]}, inner("a", same)),
        given={"x": 1},
    )

    assert by_path(ended, "status")["way[a]/a"] == "completed"


def test_a_case_whose_field_is_missing_does_not_match(
    system: System, same: str
) -> None:
    config = {"cases": [case("a", when("output.no.such", ">", 1))], "else": "b"}

    ended = system.run(
        step("before", same), route("way", config, *says(same, "a", "b"))
    )

    assert ended["context"]["way"] == "this is b"


# --- what a branch is -----------------------------------------------------------------


def test_the_steps_of_a_branch_run_in_order_and_the_last_is_its_output(
    system: System, same: str
) -> None:
    steps = [
        inner("check", same, branch="refund", given=["{{ output.n }}", "check"]),
        inner("pay", same, branch="refund", given=["{{ output }}", "pay"]),
        inner("answer", same),
    ]
    config = {"cases": [case("refund", ALWAYS)], "else": "answer"}

    ended = system.run(route("way", config, *steps), given={"n": 1})

    assert ended["output"] == {"way": [[1, "check"], "pay"]}
    assert paths(ended) == ["way", "way[refund]/check", "way[refund]/pay"]


def test_every_branch_begins_with_what_came_before_the_step(
    system: System, same: str
) -> None:
    cases = [case("a", ALWAYS), case("b", ALWAYS)]

    ended = system.run(
        step("before", same, input_mapping="b4"),
        route(
            "way",
            {"cases": cases, "mode": "all"},
            inner("a", same),
            inner("b", same),
        ),
    )

    assert ended["context"]["way"] == {"a": "b4", "b": "b4"}


def test_an_input_mapping_says_what_the_branches_begin_with(
    system: System, same: str
) -> None:
    ended = system.run(
        step("before", same),
        route(
            "way",
            {"cases": [case("a", ALWAYS)]},
            inner("a", same),
            input_mapping={"x": "{{ output.n }}"},
        ),
        given={"n": 5},
    )

    assert ended["context"]["way"] == {"x": 5}


def test_a_skipped_last_step_leaves_the_branch_its_output(
    system: System, same: str
) -> None:
    steps = [
        inner("one", same, branch="a", given="one"),
        inner("two", same, branch="a", condition=NEVER),
    ]

    ended = system.run(route("way", {"cases": [case("a", ALWAYS)]}, *steps))

    assert ended["output"] == {"way": "one"}
    assert by_path(ended, "status")["way[a]/two"] == "skipped"


def test_the_output_mapping_of_a_branch_step_is_seen_outside(
    system: System, same: str
) -> None:
    way = route(
        "way",
        {"cases": [case("a", ALWAYS)]},
        inner("a", same, given=3),
        output_mapping={"came_to": "{{ output }}"},
    )

    ended = system.run(way, step("after", same, input_mapping="{{context.came_to}}"))

    assert ended["output"] == {"way": 3, "came_to": 3, "after": 3}


def test_branches_within_branches(system: System, same: str) -> None:
    deep = route("deep", {"cases": [case("x", ALWAYS)]}, *says(same, "x"))
    way = route("way", {"cases": [case("deep", ALWAYS)]}, deep)

    ended = system.run(way)

    assert ended["output"] == {"way": "this is x"}
    assert paths(ended) == ["way", "way[deep]/deep", "way[deep]/deep[x]/x"]


def test_a_group_inside_a_branch_is_what_it_comes_to(system: System, same: str) -> None:
    members = [
        inner(key, same, given=key, branch="both", parallel_group="g") for key in "pq"
    ]

    ended = system.run(route("way", {"cases": [case("both", ALWAYS)]}, *members))

    assert ended["output"] == {"way": {"p": "p", "q": "q"}}


# --- all that match -------------------------------------------------------------------


def test_all_branches_that_match_run_and_are_waited_for(
    system: System, same: str
) -> None:
    cases = [case("c", ALWAYS), case("b", NEVER), case("a", ALWAYS), case("c", ALWAYS)]

    ended = system.run(
        route("way", {"cases": cases, "mode": "all"}, *says(same, "a", "b", "c")),
        step("after", same),
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["way"] == {"a": "this is a", "c": "this is c"}
    assert sorted(by_path(ended, "input")["way"]["branches"]) == ["a", "c"]
    assert by_path(ended, "status") == {
        "way": "completed",
        "way[a]/a": "completed",
        "way[c]/c": "completed",
        "after": "completed",
    }


def test_a_single_branch_of_all_is_an_object_as_well(system: System, same: str) -> None:
    config = {"cases": [case("a", ALWAYS), case("b", NEVER)], "mode": "all"}

    ended = system.run(route("way", config, *says(same, "a", "b")))

    assert ended["output"] == {"way": {"a": "this is a"}}


def test_else_runs_when_none_of_all_matches(system: System, same: str) -> None:
    config = {"cases": [case("a", NEVER)], "else": "b", "mode": "all"}

    ended = system.run(route("way", config, *says(same, "a", "b")))

    assert ended["output"] == {"way": {"b": "this is b"}}


def test_all_branches_that_match_run_at_once(system: System, traces: Path) -> None:
    spans = Spans(traces, "all at once")
    span = system.role("test.span")
    steps = [inner(key, span, given=spans.given(who=key, seconds=25)) for key in "abc"]
    config = {"cases": [case(key, ALWAYS) for key in "abc"], "mode": "all"}
    execution = system.execute(system.orchestration(route("way", config, *steps)))

    spans.have_begun(3)
    spans.release()

    assert system.finished(execution)["output"] == {
        "way": {"a": "a", "b": "b", "c": "c"}
    }


# --- failures -------------------------------------------------------------------------


def test_a_step_that_fails_fails_its_branch_step_and_the_execution(
    system: System, same: str, bad: str
) -> None:
    steps = [inner("one", bad, branch="a"), inner("two", same, branch="a")]

    ended = system.run(
        route("way", {"cases": [case("a", ALWAYS)]}, *steps), step("after", same)
    )

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "one")
    assert by_path(ended, "status") == {"way": "failed", "way[a]/one": "failed"}


def test_a_branch_that_fails_does_not_turn_to_else(
    system: System, same: str, bad: str
) -> None:
    config = {"cases": [case("a", ALWAYS)], "else": "b"}

    ended = system.run(route("way", config, inner("a", bad), inner("b", same)))

    assert (ended["status"], paths(ended)) == ("failed", ["way", "way[a]/a"])


def test_a_branch_step_that_fails_may_be_gone_on_after(
    system: System, same: str, bad: str
) -> None:
    way = route(
        "way", {"cases": [case("a", ALWAYS)]}, inner("a", bad), on_error="continue"
    )
    given = ["{{ context.way }}", "{{ context.errors.way.step_key }}"]

    ended = system.run(way, step("after", same, input_mapping=given))

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"][0] is None


def test_one_branch_of_all_that_fails_cuts_the_others(
    system: System, bad: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "one of all")
    hold = inner(
        "hold", system.role("test.span"), given=spans.given(who="hold", seconds=25)
    )
    config = {"cases": [case("hold", ALWAYS), case("fails", ALWAYS)], "mode": "all"}

    ended = system.run(route("way", config, hold, inner("fails", bad)), seconds=20)

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "fails")
    assert by_path(ended, "status") | {"way[hold]/hold": "cancelled"} == {
        "way": "failed",
        "way[hold]/hold": "cancelled",
        "way[fails]/fails": "failed",
    }


def test_a_case_whose_value_does_not_resolve_fails_the_step(
    system: System, same: str
) -> None:
    condition = when("context.input.x", "==", "{{ context.input.no_such }}")

    ended = system.run(
        route("way", {"cases": [case("a", condition)]}, inner("a", same)),
        given={"x": 1},
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert (ended["error"]["step_key"], paths(ended)) == ("way", ["way"])


def test_an_input_that_does_not_resolve_fails_the_step_without_a_branch(
    system: System, same: str
) -> None:
    way = route(
        "way",
        {"cases": [case("a", ALWAYS)]},
        inner("a", same),
        input_mapping="{{ context.input.no_such }}",
    )

    ended = system.run(way)

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert paths(ended) == ["way"]


# --- drawn by weight ------------------------------------------------------------------


def drawing(same: str, **config: Any) -> Written:
    return route("way", config, *says(same, "a", "b"))


def test_equal_keys_draw_the_same_branch_and_different_ones_by_weight(
    system: System, same: str
) -> None:
    weights = {"a": 80, "b": 20}
    way = drawing(same, weights=weights, sticky="{{ item }}")
    keys = [f"user {n}" for n in range(200)]
    made = system.orchestration(each("each", "{{ context.input.keys }}", way))

    first = system.finished(system.execute(made, {"keys": keys}))
    second = system.finished(system.execute(made, {"keys": keys[::-1]}))

    drawn = first["output"]["each"]
    assert second["output"]["each"] == drawn[::-1]
    counts = Counter(drawn)
    assert 130 <= counts["this is a"] <= 185
    assert counts["this is a"] + counts["this is b"] == 200


def test_without_a_sticky_key_an_execution_draws_the_same_branch_each_time(
    system: System, same: str
) -> None:
    way = drawing(same, weights={"a": 1, "b": 1})

    ended = system.run(each("each", list(range(30)), way))

    assert len(set(ended["output"]["each"])) == 1


def test_without_a_sticky_key_executions_draw_differently(
    system: System, same: str
) -> None:
    made = system.orchestration(drawing(same, weights={"a": 1, "b": 1}))

    ids = [system.execute(made) for _ in range(30)]

    drawn = {system.finished(one)["output"]["way"] for one in ids}
    assert drawn == {"this is a", "this is b"}


def test_what_was_drawn_is_recorded(system: System, same: str) -> None:
    way = drawing(same, weights={"a": 1, "b": 0.001}, sticky="fixed")

    ended = system.run(way)

    (branch,) = by_path(ended, "input")["way"]["branches"]
    assert paths(ended) == ["way", f"way[{branch}]/{branch}"]


def test_a_sticky_key_may_be_any_json(system: System, same: str) -> None:
    sticky = {"user": "{{ context.input.user }}", "of": [1, None]}
    made = system.orchestration(drawing(same, weights={"a": 1, "b": 1}, sticky=sticky))

    ids = [system.execute(made, {"user": {"id": 1}}) for _ in range(5)]

    assert len({system.finished(one)["output"]["way"] for one in ids}) == 1


def test_a_sticky_key_that_does_not_resolve_fails_the_step(
    system: System, same: str
) -> None:
    way = drawing(same, weights={"a": 1, "b": 1}, sticky="{{ context.input.no_such }}")

    ended = system.run(way)

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert (ended["error"]["step_key"], paths(ended)) == ("way", ["way"])


# --- steering -------------------------------------------------------------------------


def test_a_cancelled_branch_step_takes_its_branch_along(
    system: System, same: str, traces: Path
) -> None:
    spans = Spans(traces, "branch cancelled")
    hold = inner(
        "hold",
        system.role("test.span"),
        given=spans.given(who="hold", seconds=25),
        branch="a",
    )
    config = {"cases": [case("a", ALWAYS)]}
    execution = system.execute(
        system.orchestration(
            route("way", config, hold, inner("then", same, branch="a"))
        )
    )
    spans.have_begun(1)

    steer(system, execution, "cancel")
    ended = system.finished(execution)

    assert ended["status"] == "cancelled"
    assert by_path(ended, "status") == {"way": "cancelled", "way[a]/hold": "cancelled"}
