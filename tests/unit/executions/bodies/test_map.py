"""Maps: which items run, and what they come to together."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.language import TemplateRenderError
from executions.bodies import HOLDERS, Decision, EndedFrame, Fault, Finish
from executions.plan.compiled import CompiledStep
from tests.unit.executions.bodies.scenes import Script, completed, failed, holding

MAP = HOLDERS["map"]


def mapped(**config: Any) -> CompiledStep:
    return holding("map", config={"items": "{{ output }}", **config})


def begun(items: Any, **config: Any) -> Decision:
    return MAP.begin(mapped(**config), Script(rendered={"items": items}))


def heard(before: Decision, *ended: EndedFrame, **config: Any) -> Decision:
    assert before.state is not None
    return MAP.hear(mapped(**config), Script(), before.state, ended)


# --- how it begins --------------------------------------------------------------------


def test_every_item_gets_a_frame_with_itself_and_its_place() -> None:
    decision = begun(["a", {"b": 1}])

    assert [(frame.name, frame.number, frame.given) for frame in decision.make] == [
        (0, 0, {"item": "a", "index": 0}),
        (1, 1, {"item": {"b": 1}, "index": 1}),
    ]


@pytest.mark.parametrize(
    ("config", "first"),
    [({}, 25), ({"max_parallel": 3}, 3), ({"max_parallel": 500}, 60)],
)
def test_no_more_start_than_may_be_under_way(config: Any, first: int) -> None:
    decision = begun(list(range(60)), **config)

    assert len(decision.make) == 60
    assert list(decision.start) == list(range(first))


@pytest.mark.parametrize("config", [{}, {"stop_after": 3}, {"item_errors": "drop"}])
def test_an_empty_list_ends_with_an_empty_list(config: Any) -> None:
    decision = begun([], **config)

    assert (decision.make, decision.start) == ((), ())
    assert decision.finish == Finish(output=[])


def test_how_many_items_there_are_is_noted_and_not_the_items() -> None:
    assert begun(["secret"] * 7).note == {"items": 7}


@pytest.mark.parametrize("items", [None, {}, {"a": 1}, "abc", "", 3, 0.5, True])
def test_what_is_no_list_is_a_fault(items: Any) -> None:
    with pytest.raises(Fault, match="items must be a list, not") as fault:
        begun(items)

    assert fault.value.type == "bad_items"


def test_items_that_do_not_render_are_the_callers_to_see_to() -> None:
    with pytest.raises(TemplateRenderError):
        begun(TemplateRenderError("no such"))


# --- what follows from items that ended ---------------------------------------------------


def test_the_next_item_takes_the_place_of_one_that_ended() -> None:
    first = begun(list("abcde"), max_parallel=2)

    then = heard(first, completed(1), max_parallel=2)

    assert (list(then.start), then.finish) == ([2], None)


def test_a_failed_item_fails_the_map_with_its_error() -> None:
    first = begun(list("abc"), max_parallel=3)

    then = heard(first, completed(0), failed(1, "why"), max_parallel=3)

    assert then.finish == Finish(error={"type": "bad", "message": "why"})
    assert not then.start


def test_of_items_that_failed_together_the_first_ones_error_counts() -> None:
    first = begun(list("abc"))

    finish = heard(first, failed(0, "first"), failed(2, "second")).finish

    assert finish is not None
    assert finish.error is not None
    assert finish.error["message"] == "first"


@pytest.mark.parametrize("errors", ["continue", "drop"])
def test_failed_items_make_room_for_the_next_ones(errors: str) -> None:
    config = {"max_parallel": 2, "item_errors": errors}
    first = begun(list("abcde"), **config)

    then = heard(first, failed(0), failed(1), **config)

    assert (list(then.start), then.finish) == ([2, 3], None)


@pytest.mark.parametrize("errors", ["continue", "drop"])
def test_a_map_ends_although_every_item_failed(errors: str) -> None:
    first = begun([1, 2], item_errors=errors)

    then = heard(first, failed(0), failed(1), item_errors=errors)

    assert then.finish == Finish(gathered=True)


def test_enough_successes_end_a_map_before_its_last_item() -> None:
    config = {"stop_after": 2, "max_parallel": 2}
    first = begun(list("abcde"), **config)

    then = heard(first, completed(0), completed(1), **config)

    assert (list(then.start), then.finish) == ([], Finish(gathered=True))


@pytest.mark.parametrize("errors", ["fail", "continue", "drop"])
def test_failures_do_not_count_while_enough_are_left(errors: str) -> None:
    config = {"stop_after": 2, "item_errors": errors}
    first = begun(list("abcd"), **config)

    then = heard(first, failed(0), failed(1), **config)

    assert then.finish is None


@pytest.mark.parametrize("errors", ["fail", "continue", "drop"])
def test_too_few_that_are_left_fail_a_map(errors: str) -> None:
    config = {"stop_after": 3, "item_errors": errors}
    first = begun(list("abcd"), **config)

    finish = heard(first, failed(0), completed(1), failed(2), **config).finish

    assert finish is not None
    assert finish.error is not None
    assert finish.error["type"] == "too_few_succeeded"
    assert "3 of 4" in finish.error["message"]


# --- what they come to --------------------------------------------------------------------


FRAMES = [
    completed(0, "a"),
    failed(1),
    completed(2, None),
    failed(3),
    completed(4, "e"),
]


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"item_errors": "continue"}, ["a", None, None, None, "e"]),
        ({"item_errors": "drop"}, ["a", None, "e"]),
        ({"stop_after": 2}, ["a", None, "e"]),
        ({"stop_after": 2, "item_errors": "continue"}, ["a", None, "e"]),
        ({"stop_after": 2, "item_errors": "drop"}, ["a", None, "e"]),
    ],
)
def test_failed_items_are_null_or_left_out(config: Any, output: list[Any]) -> None:
    assert MAP.gather(mapped(**config), {}, FRAMES) == output


def test_the_output_is_in_the_order_of_the_items() -> None:
    frames = [completed(n, 2 * n) for n in range(11)]

    assert MAP.gather(mapped(), {}, frames) == [2 * n for n in range(11)]
