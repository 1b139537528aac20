"""Loops: whether there is another turn, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.language import TemplateRenderError
from executions.bodies import HOLDERS, Decision, EndedFrame, Fault, Finish
from executions.plan.compiled import CompiledStep
from tests.unit.executions.bodies.scenes import (
    WHEN,
    Script,
    completed,
    failed,
    holding,
)

LOOP = HOLDERS["loop"]


def loop(**config: Any) -> CompiledStep:
    return holding("loop", config={"max_iterations": 10, **config})


def heard(
    step: CompiledStep, scene: Script, *ended: EndedFrame, count: int | None = None
) -> Decision:
    """Let a loop hear of turns, the first of which it was in."""
    state = {"turns": ended[0].number, "count": count}
    return LOOP.hear(step, scene, state, ended)


def opened(decision: Decision) -> list[tuple[Any, ...]]:
    """List the turns that a decision makes and starts: number, and what is given."""
    assert [frame.name for frame in decision.make] == list(decision.start)
    return [(frame.number, frame.given) for frame in decision.make]


def ends_with(decision: Decision) -> Any:
    assert not decision.make
    assert not decision.start
    assert decision.finish is not None
    assert decision.finish.error is None
    return decision.finish.output


def fails_with(decision: Decision) -> Any:
    assert not decision.make
    assert not decision.start
    assert decision.finish is not None
    assert decision.finish.error is not None
    return decision.finish.error["type"]


# --- how it begins --------------------------------------------------------------------


def test_a_loop_begins_with_its_first_turn_alone() -> None:
    decision = LOOP.begin(loop(), Script())

    assert opened(decision) == [(0, {"loop": {"index": 0, "last": None}})]
    assert decision.finish is None


def test_an_until_is_not_asked_before_the_first_turn() -> None:
    scene = Script()

    LOOP.begin(loop(until=WHEN), scene)

    assert scene.asked == []


def test_an_input_mapping_is_what_the_first_turn_begins_with() -> None:
    step = holding("loop", config={"max_iterations": 1}, input_mapping="{{ output }}")

    decision = LOOP.begin(step, Script(begins_with=5))

    assert opened(decision) == [(0, {"loop": {"index": 0, "last": None}, "output": 5})]


def test_an_input_mapping_of_null_is_what_the_first_turn_begins_with() -> None:
    step = holding("loop", config={"max_iterations": 1}, input_mapping=0)

    (frame,) = LOOP.begin(step, Script(begins_with=None)).make

    assert frame.given["output"] is None


def test_an_input_that_does_not_render_is_no_beginning() -> None:
    step = holding("loop", config={"max_iterations": 1}, input_mapping="{{ output.x }}")

    with pytest.raises(TemplateRenderError):
        LOOP.begin(step, Script(begins_with=TemplateRenderError("no x")))


@pytest.mark.parametrize(("collect", "nothing"), [("last", None), ("all", [])])
def test_a_while_that_is_false_at_once_ends_with_nothing(
    collect: str, nothing: Any
) -> None:
    step = loop(**{"while": WHEN}, collect=collect)

    assert ends_with(LOOP.begin(step, Script(answers={"while": [False]}))) == nothing


def test_a_while_is_asked_with_the_turn_to_come() -> None:
    scene = Script(answers={"while": [True]})

    LOOP.begin(loop(**{"while": WHEN}), scene)

    assert scene.asked == [("while", {"loop": {"index": 0, "last": None}})]


# --- counting -------------------------------------------------------------------------


def test_a_count_is_kept_in_mind() -> None:
    decision = LOOP.begin(loop(count=3), Script(rendered={"count": 3}))

    assert decision.state == {"turns": 0, "count": 3}


@pytest.mark.parametrize(("collect", "nothing"), [("last", None), ("all", [])])
def test_a_count_of_none_ends_with_nothing(collect: str, nothing: Any) -> None:
    step = loop(count=0, collect=collect)

    assert ends_with(LOOP.begin(step, Script(rendered={"count": 0}))) == nothing


@pytest.mark.parametrize("count", [-1, 1.0, True, False, "3", None, [3], {}])
def test_a_count_that_is_no_whole_number_is_a_fault(count: Any) -> None:
    with pytest.raises(Fault, match="count must be a whole number") as fault:
        LOOP.begin(loop(count="{{ output }}"), Script(rendered={"count": count}))

    assert fault.value.type == "bad_count"


def test_a_count_is_not_rendered_again_between_turns() -> None:
    scene = Script(rendered={"count": TemplateRenderError("not again")})

    assert opened(heard(loop(count=3), scene, completed(0), count=3))


def test_the_last_turn_counted_ends_the_loop() -> None:
    decision = heard(loop(count=3), Script(), completed(2, "third"), count=3)

    assert ends_with(decision) == "third"


def test_a_count_that_is_the_limit_is_in_time() -> None:
    step = loop(count=3, max_iterations=3)

    assert ends_with(heard(step, Script(), completed(2, "x"), count=3)) == "x"


def test_a_count_beyond_the_limit_is_not_reached() -> None:
    step = loop(count=4, max_iterations=3)

    assert fails_with(heard(step, Script(), completed(2), count=4)) == "max_iterations"


# --- after a turn ---------------------------------------------------------------------


def test_the_next_turn_is_given_what_the_last_one_came_to() -> None:
    decision = heard(loop(), Script(), completed(0, {"n": 1}))

    assert opened(decision) == [(1, {"loop": {"index": 1, "last": {"n": 1}}})]
    assert decision.state == {"turns": 1, "count": None}


def test_an_input_mapping_is_for_the_first_turn_alone() -> None:
    step = holding("loop", config={"max_iterations": 3}, input_mapping=5)

    (frame,) = heard(step, Script(begins_with=5), completed(0, 6)).make

    assert "output" not in frame.given


def test_an_until_is_asked_where_the_turn_has_ended() -> None:
    scene = Script(answers={"until": [True]})

    assert ends_with(heard(loop(until=WHEN), scene, completed(4, "five"))) == "five"
    assert scene.asked == [("until", {"frame": "4"})]


def test_an_until_that_does_not_hold_leads_to_another_turn() -> None:
    scene = Script(answers={"until": [False]})

    assert opened(heard(loop(until=WHEN), scene, completed(4)))[0][0] == 5


def test_an_until_that_holds_in_the_last_permitted_turn_is_in_time() -> None:
    step = loop(until=WHEN, max_iterations=3)

    decision = heard(step, Script(answers={"until": [True]}), completed(2, "x"))

    assert ends_with(decision) == "x"


def test_a_while_that_turns_false_ends_with_the_last_turn() -> None:
    scene = Script(answers={"while": [False]})

    assert ends_with(heard(loop(**{"while": WHEN}), scene, completed(0, "x"))) == "x"
    assert scene.asked == [("while", {"loop": {"index": 1, "last": "x"}})]


def test_a_while_that_turns_false_at_the_limit_is_in_time() -> None:
    step = loop(**{"while": WHEN}, max_iterations=1)

    decision = heard(step, Script(answers={"while": [False]}), completed(0, "x"))

    assert ends_with(decision) == "x"


def test_a_condition_that_does_not_render_is_the_callers_to_see_to() -> None:
    scene = Script(answers={"until": [TemplateRenderError("no such")]})

    with pytest.raises(TemplateRenderError):
        heard(loop(until=WHEN), scene, completed(0))


def test_a_break_ends_the_loop_and_an_until_is_not_asked() -> None:
    scene = Script()

    decision = heard(loop(until=WHEN), scene, completed(1, "out", broken=True))

    assert (ends_with(decision), scene.asked) == ("out", [])


def test_a_break_in_the_last_permitted_turn_is_in_time() -> None:
    step = loop(max_iterations=2)

    assert ends_with(heard(step, Script(), completed(1, "x", broken=True))) == "x"


@pytest.mark.parametrize("config", [{}, {"collect": "all"}, {"on_limit": "continue"}])
def test_a_turn_that_failed_fails_the_loop_with_its_error(
    config: dict[str, Any],
) -> None:
    scene = Script()

    decision = heard(loop(until=WHEN, **config), scene, failed(1, "the reason"))

    assert decision.finish == Finish(error={"type": "bad", "message": "the reason"})
    assert scene.asked == []


# --- the limit ------------------------------------------------------------------------


def test_turns_that_were_not_enough_fail_the_loop_and_say_how_many() -> None:
    decision = heard(loop(max_iterations=3), Script(), completed(2))

    assert fails_with(decision) == "max_iterations"
    assert decision.finish is not None
    assert decision.finish.error is not None
    assert "(3)" in decision.finish.error["message"]


def test_a_loop_may_go_on_with_what_there_is_at_the_limit() -> None:
    step = loop(max_iterations=3, on_limit="continue", until=WHEN)

    decision = heard(step, Script(answers={"until": [False]}), completed(2, "third"))

    assert ends_with(decision) == "third"


def test_a_limit_that_is_not_reached_is_not_felt() -> None:
    assert opened(heard(loop(max_iterations=3), Script(), completed(1)))[0][0] == 2


# --- all turns ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "ended", "count"),
    [
        ({"count": 3}, completed(2), 3),
        ({"until": WHEN}, completed(2), None),
        ({}, completed(2, broken=True), None),
        ({"max_iterations": 3, "on_limit": "continue"}, completed(2), None),
    ],
    ids=["count", "until", "break", "limit"],
)
def test_a_loop_that_collects_leaves_its_output_to_be_gathered(
    config: dict[str, Any], ended: EndedFrame, count: int | None
) -> None:
    scene = Script(answers={"until": [True]})

    decision = heard(loop(collect="all", **config), scene, ended, count=count)

    assert decision.finish == Finish(gathered=True)


def test_a_loop_that_fails_at_its_limit_gathers_nothing() -> None:
    step = loop(collect="all", max_iterations=1)

    assert fails_with(heard(step, Script(), completed(0))) == "max_iterations"


def test_what_is_gathered_are_the_outputs_of_the_turns_in_their_order() -> None:
    turns = [completed(n, n * n) for n in range(12)]

    assert LOOP.gather(loop(collect="all"), {}, turns) == [n * n for n in range(12)]


def test_turns_that_came_to_null_are_gathered_as_well() -> None:
    turns = [completed(0, None), completed(1, 1)]

    assert LOOP.gather(loop(collect="all"), {}, turns) == [None, 1]
