"""Maps: the body once per item, run by real workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import (
    NEVER,
    Spans,
    Written,
    abreast,
    by_path,
    each,
    has_status,
    inner,
    loop,
    paths,
    route,
    steer,
    when,
)
from tests.acceptance.sink import Sink
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
def refuse(system: System) -> str:
    return system.role("test.refuse")


@pytest.fixture(scope="module")
def span(system: System) -> str:
    return system.role("test.span")


def twice(add: str) -> Written:
    return inner("twice", add, given={"a": "{{ item }}", "b": "{{ item }}"})


def refusing(refuse: str, *refused: Any, **fields: Any) -> Written:
    given = {"value": "{{ item }}", "refused": list(refused)}
    return inner("work", refuse, given=given, **fields)


def statuses_inside(ended: dict[str, Any], key: str) -> list[str]:
    found = by_path(ended, "status")
    return [status for path, status in found.items() if path.endswith(f"/{key}")]


# --- how many, and in what order ------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 26, 100])
def test_a_map_keeps_the_order_of_its_items(
    system: System, add: str, count: int
) -> None:
    place = inner("place", add, given={"a": "{{ output }}", "b": "{{ index }}"})

    ended = system.run(
        each("each", "{{ context.input.numbers }}", twice(add), place),
        given={"numbers": list(range(count))},
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": [3 * n for n in range(count)]}
    assert paths(ended) == [
        "each",
        *(f"each[{n}]/{key}" for n in range(count) for key in ("twice", "place")),
    ]


@pytest.mark.parametrize("window", [7, 1000])
def test_a_thousand_items_run(system: System, same: str, window: int) -> None:
    ended = system.run(
        each(
            "each",
            "{{ context.input.numbers }}",
            inner("one", same),
            config={"max_parallel": window},
        ),
        step("after", same, input_mapping="{{ context.each.999 }}"),
        given={"numbers": list(range(1000))},
        seconds=90,
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["each"] == list(range(1000))
    assert ended["context"]["after"] == 999


def test_an_empty_list_gives_an_empty_list(system: System, same: str) -> None:
    after = step("after", same, input_mapping={"was": "{{ output }}"})

    ended = system.run(each("each", [], inner("one", same)), after)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": [], "after": {"was": []}}
    assert paths(ended) == ["each", "after"]


def test_an_empty_list_gives_an_empty_list_whatever_is_enough(
    system: System, same: str
) -> None:
    ended = system.run(each("each", [], inner("one", same), config={"stop_after": 3}))

    assert (ended["status"], ended["output"]) == ("completed", {"each": []})


def test_items_are_a_list_that_may_hold_templates(system: System, same: str) -> None:
    items = [1, "{{ context.input.x }}", {"deep": "{{ context.input.x.0 }}"}]

    ended = system.run(each("each", items, inner("one", same)), given={"x": ["y"]})

    assert ended["output"] == {"each": [1, ["y"], {"deep": "y"}]}


@pytest.mark.parametrize(
    "items", [{"a": 1}, "a text", 3, 1.5, None, True], ids=lambda each: repr(each)
)
def test_what_is_no_list_fails_its_map(system: System, same: str, items: Any) -> None:
    ended = system.run(
        each("each", "{{ context.input.items }}", inner("one", same)),
        step("after", same),
        given={"items": items},
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "bad_items")
    assert (ended["error"]["step_key"], paths(ended)) == ("each", ["each"])


def test_items_that_do_not_resolve_fail_their_map(system: System, same: str) -> None:
    ended = system.run(each("each", "{{ context.input.items }}", inner("one", same)))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "template_error")
    assert ended["error"]["step_key"] == "each"


def test_what_is_no_list_may_be_gone_on_after(system: System, same: str) -> None:
    ended = system.run(
        each(
            "each",
            "{{ context.input.items }}",
            inner("one", same),
            on_error="continue",
        ),
        step("after", same, input_mapping="{{ context.errors.each.type }}"),
        given={"items": 3},
    )

    assert ended["status"] == "completed", ended["error"]
    assert (ended["context"]["each"], ended["context"]["after"]) == (None, "bad_items")


# --- what an item sees and comes to -----------------------------------------------------


def test_the_item_is_what_a_body_begins_with(system: System, same: str) -> None:
    names = {
        "output": "{{ output }}",
        "item": "{{ item }}",
        "context": "{{ context.item }}",
        "index": "{{ index }}",
        "place": "{{ context.index }}",
    }

    ended = system.run(each("each", ["x"], inner("one", same, given=names)))

    assert ended["output"]["each"] == [
        {"output": "x", "item": "x", "context": "x", "index": 0, "place": 0}
    ]


def test_later_steps_of_a_body_still_see_the_item(system: System, same: str) -> None:
    ended = system.run(
        each(
            "each",
            [{"n": 1}, {"n": 2}],
            inner("one", same, given="one"),
            inner("two", same, given=["{{ output }}", "{{ item.n }}"]),
        )
    )

    assert ended["output"]["each"] == [["one", 1], ["one", 2]]


def test_null_false_and_empty_items_are_items(system: System, same: str) -> None:
    items: list[Any] = [None, False, 0, "", [], {}]

    ended = system.run(each("each", items, inner("one", same)))

    assert ended["output"] == {"each": items}


def test_an_item_comes_to_the_output_of_its_last_step_that_was_not_skipped(
    system: System, same: str
) -> None:
    ended = system.run(
        each(
            "each",
            [1, 2, 3],
            inner("first", same),
            inner("big", same, given="big", condition=when("item", ">", 2)),
        )
    )

    assert ended["output"] == {"each": [1, 2, "big"]}
    assert by_path(ended, "status")["each[0]/big"] == "skipped"


def test_an_item_whose_steps_are_all_skipped_is_left_as_it_is(
    system: System, same: str
) -> None:
    ended = system.run(
        each("each", [1, 2], inner("one", same, given="no", condition=NEVER))
    )

    assert ended["output"] == {"each": [1, 2]}


def test_an_inner_item_hides_the_outer_one(system: System, same: str) -> None:
    cell = inner(
        "cell",
        same,
        given=["{{ context.row }}", "{{ item }}", "{{ index }}", "{{ context.item }}"],
    )

    ended = system.run(
        each(
            "rows",
            [[1, 2], [3]],
            inner("row", same, given="{{ index }}"),
            each("cells", "{{ item }}", cell),
            inner("sum", same, given=["{{ context.cells }}", "{{ item }}"]),
        )
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"]["rows"] == [
        [[[0, 1, 0, 1], [0, 2, 1, 2]], [1, 2]],
        [[[1, 3, 0, 3]], [3]],
    ]


def test_maps_three_deep_keep_every_order(system: System, same: str) -> None:
    deep = [[[f"{a}{b}{c}" for c in "xyz"] for b in "mno"] for a in "abc"]

    ended = system.run(
        each(
            "one",
            "{{ context.input.deep }}",
            each("two", "{{ item }}", each("three", "{{ item }}", inner("leaf", same))),
        ),
        given={"deep": deep},
    )

    assert ended["output"] == {"one": deep}
    assert len(paths(ended)) == 1 + 3 + 9 + 27
    assert paths(ended)[:4] == [
        "one",
        "one[0]/two",
        "one[0]/two[0]/three",
        "one[0]/two[0]/three[0]/leaf",
    ]


def test_an_output_mapping_inside_stays_with_its_item(
    system: System, same: str
) -> None:
    named = inner("one", same, output_mapping={"name": "item {{ output }}"})

    ended = system.run(
        each("each", [1, 2, 3], named, inner("two", same, given="{{ context.name }}"))
    )

    assert ended["output"] == {"each": ["item 1", "item 2", "item 3"]}


def test_a_body_reads_what_was_made_before_its_map(system: System, same: str) -> None:
    ended = system.run(
        step("before", same, output_mapping={"made": "{{ output.x }}"}),
        each(
            "each",
            [1],
            inner("one", same, given=["{{ context.made }}", "{{ context.before.x }}"]),
        ),
        given={"x": 7},
    )

    assert ended["context"]["each"] == [[7, 7]]


def test_each_item_has_a_group_inside(system: System, add: str) -> None:
    members = [
        inner(key, add, given={"a": "{{ item }}", "b": n}, parallel_group="g")
        for n, key in enumerate(("left", "right"))
    ]
    last = inner("last", add, given={"a": "{{output.left}}", "b": "{{output.right}}"})

    ended = system.run(each("each", list(range(30)), *members, last))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": [2 * n + 1 for n in range(30)]}


def test_each_item_has_a_loop_and_a_branch_inside(
    system: System, same: str, add: str
) -> None:
    grow = loop(
        "grow",
        {"count": "{{ item }}"},
        inner("more", add, given={"a": "{{ output }}", "b": "{{ item }}"}),
        input_mapping=0,
    )
    small = {"branch": "small", "condition": when("output", "<", 5)}
    size = route(
        "size",
        {"cases": [small], "else": "large"},
        inner("small", same, given=["small", "{{ context.grow }}"]),
        inner("large", same, given=["large", "{{ context.grow }}"]),
    )

    ended = system.run(each("each", [1, 2, 3], grow, size))

    assert ended["output"] == {"each": [["small", 1], ["small", 4], ["large", 9]]}


# --- how many at a time ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "window", "count"),
    [({"max_parallel": 1}, 1, 8), ({"max_parallel": 3}, 3, 20), ({}, 25, 60)],
)
def test_no_more_items_are_under_way_than_a_map_allows(
    system: System,
    span: str,
    traces: Path,
    config: dict[str, Any],
    window: int,
    count: int,
) -> None:
    spans = Spans(traces, f"window {window}")
    work = inner("work", span, given=spans.given(who="{{ item }}", seconds=0.1))

    ended = system.run(each("each", list(range(count)), work, config=config))

    assert ended["status"] == "completed", ended["error"]
    assert sorted(spans.begun, key=int) == [str(n) for n in range(count)]
    assert spans.most_at_once <= window
    assert spans.most_at_once >= min(window, 3)


def test_an_item_counts_as_under_way_until_its_last_step_has_ended(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "whole bodies")
    steps = [
        inner(f"s{n}", span, given=spans.given(who="{{ index }}", seconds=0.03))
        for n in range(3)
    ]

    ended = system.run(each("each", [0, 1, 2, 3], *steps, config={"max_parallel": 1}))

    assert ended["status"] == "completed", ended["error"]
    assert spans.begun == ["0"] * 3 + ["1"] * 3 + ["2"] * 3 + ["3"] * 3
    assert spans.most_at_once == 1


def test_items_one_at_a_time_run_in_their_order(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "in order")
    work = inner("work", span, given=spans.given(who="{{ item }}"))

    system.run(each("each", list("abcdef"), work, config={"max_parallel": 1}))

    assert spans.begun == list("abcdef")


def test_an_item_that_takes_long_does_not_hold_up_the_others(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "one is slow")
    work = inner(
        "work",
        span,
        given=spans.given(who="{{ item.who }}", seconds="{{ item.seconds }}"),
    )
    items: list[Any] = [{"who": "slow", "seconds": 25}]
    items += [{"who": str(n), "seconds": 0} for n in range(30)]
    execution = system.execute(
        system.orchestration(each("each", items, work, config={"max_parallel": 2}))
    )

    until(lambda: len(spans.ended) == 30, what="the end of all others")
    assert "slow" not in spans.ended
    spans.release()
    ended = system.finished(execution)

    assert ended["output"]["each"] == ["slow", *(str(n) for n in range(30))]


def test_items_of_an_io_role_wait_side_by_side(system: System) -> None:
    wait = inner("wait", system.role("time.delay"), given={"ms": 500})
    began = time.monotonic()

    ended = system.run(each("each", list(range(40)), wait, config={"max_parallel": 40}))

    assert ended["status"] == "completed", ended["error"]
    assert time.monotonic() - began < 8


def test_items_call_http_side_by_side(system: System, sink: Sink) -> None:
    url = f"http://{sink.address}/mapped"
    config = {"method": "POST", "url": url, "body": "{{ input }}"}
    role = {"name": "Call for a map", "kind": "http", "config": config}
    system.post("roles/", role, status=201)
    call = inner("call", "Call for a map", given={"n": "{{ item }}"})

    ended = system.run(each("each", list(range(12)), call))

    assert ended["status"] == "completed", ended["error"]
    bodies = [output["body"]["got"]["n"] for output in ended["output"]["each"]]
    assert bodies == list(range(12))
    keys = {log["id"] for log in ended["step_logs"][1:]}
    assert {effect.key for effect in sink.at("/mapped")} == keys


# --- failures --------------------------------------------------------------------------


def test_a_failing_item_fails_its_map_and_the_execution(
    system: System, same: str, bad: str
) -> None:
    ended = system.run(
        each("each", [1, 2, 3], inner("bad", bad), config={"max_parallel": 1}),
        step("after", same),
    )

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "bad")
    assert paths(ended) == ["each", "each[0]/bad"]
    assert by_path(ended, "status")["each"] == "failed"


def test_a_failing_item_cuts_the_others_and_lets_no_more_begin(
    system: System, same: str, traces: Path, span: str
) -> None:
    spans = Spans(traces, "items cut")
    items = [{"who": f"i{n}", "fails": n == 1} for n in range(8)]
    work = inner(
        "work",
        span,
        given=spans.given(who="{{ item.who }}", fails="{{ item.fails }}", seconds=25)
        | {"release": "items cut {{ item.who }}.go"},
    )
    execution = system.execute(
        system.orchestration(each("each", items, work, config={"max_parallel": 3}))
    )
    spans.have_begun(3)

    spans.release("items cut i1")
    ended = system.finished(execution)

    assert (ended["status"], ended["error"]["step_key"]) == ("failed", "work")
    assert by_path(ended, "status") == {
        "each": "failed",
        "each[0]/work": "cancelled",
        "each[1]/work": "failed",
        "each[2]/work": "cancelled",
    }
    system.run(step("meanwhile", same))
    assert len(spans.begun) == 3


@pytest.mark.parametrize(
    ("errors", "expected"), [("continue", [0, None, 2, None, 4]), ("drop", [0, 2, 4])]
)
def test_failed_items_are_null_or_left_out(
    system: System, refuse: str, errors: str, expected: list[Any]
) -> None:
    ended = system.run(
        each(
            "each",
            [0, 1, 2, 3, 4],
            refusing(refuse, 1, 3),
            config={"item_errors": errors},
        )
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": expected}
    assert sorted(statuses_inside(ended, "work")) == ["completed"] * 3 + ["failed"] * 2


@pytest.mark.parametrize(
    ("errors", "expected"), [("continue", [None] * 30), ("drop", [])]
)
def test_a_map_completes_even_if_every_item_fails(
    system: System, bad: str, errors: str, expected: list[Any]
) -> None:
    config = {"item_errors": errors, "max_parallel": 4}

    ended = system.run(each("each", list(range(30)), inner("bad", bad), config=config))

    assert (ended["status"], ended["output"]) == ("completed", {"each": expected})


def test_a_failed_item_skips_the_rest_of_its_body_alone(
    system: System, refuse: str, same: str
) -> None:
    ended = system.run(
        each(
            "each",
            [0, 1, 2],
            refusing(refuse, 1),
            inner("behind", same),
            config={"item_errors": "drop"},
        )
    )

    assert ended["output"] == {"each": [0, 2]}
    assert "each[1]/behind" not in paths(ended)


def test_an_item_goes_on_behind_a_step_that_may_fail(
    system: System, refuse: str, same: str
) -> None:
    told = inner("told", same, given="{{ context.errors.work.type | default('none') }}")

    ended = system.run(
        each("each", [0, 1, 2], refusing(refuse, 1, on_error="continue"), told)
    )

    first, second, third = ended["output"]["each"]
    assert (first, third) == ("none", "none")
    assert second != "none"


def test_a_map_that_fails_may_be_gone_on_after(
    system: System, bad: str, same: str
) -> None:
    ended = system.run(
        each("each", [1, 2], inner("bad", bad), on_error="continue"),
        step(
            "after",
            same,
            input_mapping=["{{ context.each }}", "{{ context.errors.each.message }}"],
        ),
    )

    assert ended["status"] == "completed", ended["error"]
    value, message = ended["context"]["after"]
    assert value is None
    assert "not ready" in message


def test_items_are_tried_again(system: System) -> None:
    work = inner(
        "work",
        system.role("test.succeed_on"),
        given={"attempt": 2},
        max_retries=2,
        retry_delay_ms=10,
    )

    ended = system.run(each("each", list(range(30)), work))

    assert ended["status"] == "completed", ended["error"]
    assert {log["attempt"] for log in ended["step_logs"][1:]} == {2}


def test_every_item_of_a_map_inside_may_fail_by_itself(
    system: System, refuse: str
) -> None:
    rows = each(
        "rows",
        [[1, 2], [3, 4], [5, 6]],
        each("cells", "{{ item }}", refusing(refuse, 4)),
        config={"item_errors": "continue"},
    )

    ended = system.run(rows)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"rows": [[1, 2], None, [5, 6]]}
    assert by_path(ended, "status")["rows[1]/cells"] == "failed"


def test_an_item_whose_template_does_not_resolve_is_one_that_failed(
    system: System, same: str
) -> None:
    ended = system.run(
        each(
            "each",
            [{"n": 1}, {}, {"n": 3}],
            inner("one", same, given="{{ item.n }}"),
            config={"item_errors": "continue"},
        )
    )

    assert ended["output"] == {"each": [1, None, 3]}
    assert by_path(ended, "error")["each[1]/one"]["type"] == "template_error"


# --- enough ----------------------------------------------------------------------------


def stoppable(span: str, spans: Spans) -> Written:
    """Write a step that ends at once for items that are `quick`, and else holds."""
    given = spans.given(
        who="{{ item.who }}",
        seconds="{{ item.seconds }}",
        fails="{{ item.fails | default(false) }}",
    )
    return inner("work", span, given=given)


def quick(who: str, **fields: Any) -> dict[str, Any]:
    return {"who": who, "seconds": 0, **fields}


def slow(who: str) -> dict[str, Any]:
    return {"who": who, "seconds": 25}


def test_a_map_ends_when_enough_items_have_succeeded(
    system: System, same: str, span: str, traces: Path
) -> None:
    spans = Spans(traces, "enough")
    items = [slow("s0"), quick("q1"), slow("s2"), quick("q3"), slow("s4"), slow("s5")]

    ended = system.run(
        each(
            "each",
            items,
            stoppable(span, spans),
            config={"stop_after": 2, "max_parallel": 4},
        ),
        step("after", same),
        seconds=20,
    )

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["each"] == ["q1", "q3"]
    found = by_path(ended, "status")
    assert found["each"] == found["after"] == "completed"
    for n in (0, 2):
        assert found[f"each[{n}]/work"] == "cancelled"
    assert found.get("each[4]/work") in {None, "cancelled"}
    assert "each[5]/work" not in found
    begun = list(spans.begun)
    spans.release()
    system.run(step("meanwhile", same))
    assert spans.begun == begun
    assert system.execution(ended["id"])["context"] == ended["context"]


def test_failures_do_not_count_while_enough_items_are_left(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "enough left")
    items = [quick("f0", fails=True), quick("q1"), quick("f2", fails=True), quick("q3")]
    config = {"stop_after": 2, "max_parallel": 1}

    ended = system.run(each("each", items, stoppable(span, spans), config=config))

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": ["q1", "q3"]}


@pytest.mark.parametrize("errors", ["fail", "continue", "drop"])
def test_too_few_items_left_fail_a_map(
    system: System, refuse: str, errors: str
) -> None:
    config = {"stop_after": 3, "max_parallel": 1, "item_errors": errors}

    ended = system.run(
        each("each", [0, 1, 2, 3, 4], refusing(refuse, 0, 2, 3), config=config)
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "too_few_succeeded")
    assert ended["error"]["step_key"] == "each"
    assert "each[4]/work" not in paths(ended)


def test_fewer_items_than_are_enough_fail_a_map(system: System, same: str) -> None:
    ended = system.run(
        each("each", [1, 2], inner("one", same), config={"stop_after": 3})
    )

    assert (ended["status"], ended["error"]["type"]) == ("failed", "too_few_succeeded")


def test_as_many_items_as_are_enough_all_run(system: System, same: str) -> None:
    ended = system.run(
        each("each", [1, 2, 3], inner("one", same), config={"stop_after": 3})
    )

    assert (ended["status"], ended["output"]) == ("completed", {"each": [1, 2, 3]})


def test_what_is_cut_reaches_into_bodies_inside(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "cut deep")
    deep = abreast(
        "both",
        {},
        inner("beside", same),
        loop("again", {"count": 2}, stoppable(span, spans)),
    )
    items = [slow("s0"), quick("q1")]

    ended = system.run(each("each", items, deep, config={"stop_after": 1}), seconds=20)

    assert ended["status"] == "completed", ended["error"]
    found = by_path(ended, "status")
    assert found["each[0]/both"] == "cancelled"
    assert found.get("each[0]/both[again]/again", "cancelled") == "cancelled"
    assert found.get("each[0]/both[again]/again[0]/work", "cancelled") == "cancelled"
    assert found["each[1]/both"] == "completed"


def begun_after(ended: dict[str, Any], moment: str) -> int:
    return sum(log["started_at"] > moment for log in ended["step_logs"])


def test_hardly_an_item_begins_after_enough_have_succeeded(
    system: System, same: str
) -> None:
    config = {"stop_after": 1, "max_parallel": 200}

    ended = system.run(
        each("each", list(range(200)), inner("work", same), config=config)
    )

    assert ended["status"] == "completed", ended["error"]
    first = min(log["finished_at"] for log in ended["step_logs"][1:])
    assert begun_after(ended, first) <= 5


def test_hardly_an_item_begins_after_one_has_failed(
    system: System, refuse: str
) -> None:
    config = {"max_parallel": 200}

    ended = system.run(
        each("each", list(range(200)), refusing(refuse, 0), config=config)
    )

    assert ended["status"] == "failed"
    assert begun_after(ended, by_path(ended, "finished_at")["each[0]/work"]) <= 5


# --- steering --------------------------------------------------------------------------


def test_a_map_is_cancelled_in_the_middle(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "map cancelled")
    items = [quick("q0"), *(slow(f"s{n}") for n in range(1, 10))]
    made = system.orchestration(
        each("each", items, stoppable(span, spans), config={"max_parallel": 3}),
        step("after", same),
    )
    execution = system.execute(made)
    spans.have_begun(4)

    steer(system, execution, "cancel")
    ended = system.finished(execution)

    assert ended["status"] == "cancelled"
    found = by_path(ended, "status")
    assert (found["each"], found["each[0]/work"]) == ("cancelled", "completed")
    assert set(statuses_inside(ended, "work")) == {"completed", "cancelled"}
    assert "after" not in found
    spans.release()
    system.run(step("meanwhile", same))
    assert len(spans.begun) == 4


def test_a_paused_map_begins_no_item_until_it_is_resumed(
    system: System, span: str, same: str, traces: Path
) -> None:
    spans = Spans(traces, "map paused")
    items = [slow(f"s{n}") for n in range(9)]
    made = system.orchestration(
        each(
            "each",
            items,
            stoppable(span, spans),
            inner("behind", same),
            config={"max_parallel": 3},
        )
    )
    execution = system.execute(made)
    spans.have_begun(3)

    steer(system, execution, "pause")
    spans.release()
    until(lambda: len(spans.ended) == 3, what="the end of those that ran")
    has_status(system, execution, "paused")
    system.run(step("meanwhile", same))

    paused = system.execution(execution)
    assert (paused["status"], len(spans.begun)) == ("paused", 3)
    assert not [path for path in paths(paused) if path.endswith("behind")]

    steer(system, execution, "resume")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": [f"s{n}" for n in range(9)]}
    assert sorted(spans.begun) == [f"s{n}" for n in range(9)]


def test_a_map_that_failed_runs_again_what_failed_and_was_cut(
    system: System, same: str, traces: Path
) -> None:
    given = {"trace": "map mended", "value": "{{ item }}"}
    first = inner("first", same)
    work = inner(
        "work",
        system.role("test.await_file"),
        given=given,
        condition=when("item", ">", 2),
    )
    made = system.orchestration(
        each("each", [1, 2, 3, 4, 5], first, work, config={"max_parallel": 1}),
        step("after", same),
    )
    execution = system.execute(made)
    failed = system.finished(execution)
    assert (failed["status"], paths(failed)[-1]) == ("failed", "each[2]/work")

    (traces / "map mended").touch()
    steer(system, execution, "retry")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["context"]["after"] == [1, 2, 3, 4, 5]
    before, now = by_path(failed, "finished_at"), by_path(ended, "finished_at")
    for path in ("each[0]/first", "each[1]/first", "each[2]/first"):
        assert now[path] == before[path]


def test_a_cancelled_map_goes_on_when_it_is_retried(
    system: System, span: str, traces: Path
) -> None:
    spans = Spans(traces, "map retried")
    items = [quick("q0"), slow("s1"), slow("s2"), slow("s3")]
    made = system.orchestration(
        each("each", items, stoppable(span, spans), config={"max_parallel": 2})
    )
    execution = system.execute(made)
    spans.have_begun(3)
    steer(system, execution, "cancel")
    assert system.finished(execution)["status"] == "cancelled"

    spans.release()
    steer(system, execution, "retry")
    ended = system.finished(execution)

    assert ended["status"] == "completed", ended["error"]
    assert ended["output"] == {"each": ["q0", "s1", "s2", "s3"]}
    assert spans.begun.count("q0") == 1
