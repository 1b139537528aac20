"""Branches and parallel bodies: which of them run, and what they come to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_orchestration.language import TemplateRenderError
from executions.bodies import HOLDERS, Decision, EndedFrame, Finish
from executions.plan.compiled import CompiledStep
from tests.unit.executions.bodies.scenes import (
    WHEN,
    Script,
    completed,
    failed,
    holding,
)
from tests.unit.executions.plans import step

BRANCH, PARALLEL = HOLDERS["branch"], HOLDERS["parallel"]
STEPS = [
    step("a1", branch="a"),
    step("a2", branch="a"),
    step("b"),
    step("c1", branch="c"),
]


def branch(*cases: str, **config: Any) -> CompiledStep:
    """Compile a step with a case for each of these branches, in this order."""
    if "weights" not in config:
        config["cases"] = [{"branch": name, "condition": WHEN} for name in cases]
    return holding("branch", *STEPS, config=config)


def parallel(**config: Any) -> CompiledStep:
    return holding("parallel", *STEPS, config=config)


def answering(*answers: Any) -> Script:
    """Make a scene in which the cases hold so, one after the other."""
    return Script(
        answers={f"case:{place}": [answer] for place, answer in enumerate(answers)}
    )


def chosen(decision: Decision) -> list[Any]:
    """List the branches that run, which are those noted, made and started."""
    names = [frame.name for frame in decision.make]
    assert decision.note == {"branches": names}
    assert list(decision.start) == names
    return names


# --- by cases -------------------------------------------------------------------------


def test_the_first_case_that_holds_is_chosen_and_no_further_one_asked() -> None:
    scene = answering(False, True, True)

    assert chosen(BRANCH.begin(branch("a", "b", "c"), scene)) == ["b"]
    assert [name for name, _ in scene.asked] == ["case:0", "case:1"]


def test_cases_are_tried_in_their_order_and_not_in_that_of_the_steps() -> None:
    assert chosen(BRANCH.begin(branch("c", "a"), answering(True, True))) == ["c"]


def test_else_is_chosen_when_no_case_holds() -> None:
    step = branch("a", "b", **{"else": "c"})

    assert chosen(BRANCH.begin(step, answering(False, False))) == ["c"]


@pytest.mark.parametrize("mode", ["first", "all"])
def test_else_is_not_chosen_beside_a_case_that_holds(mode: str) -> None:
    step = branch("a", **{"else": "c"}, mode=mode)

    assert chosen(BRANCH.begin(step, answering(True))) == ["a"]


@pytest.mark.parametrize("mode", ["first", "all"])
def test_without_a_choice_the_step_is_skipped(mode: str) -> None:
    decision = BRANCH.begin(branch("a", "b", mode=mode), answering(False, False))

    assert decision.finish == Finish(skipped=True)
    assert (list(decision.make), list(decision.start)) == ([], [])


def test_all_that_hold_are_chosen_each_of_them_once() -> None:
    step = branch("c", "a", "c", "b", mode="all")

    names = chosen(BRANCH.begin(step, answering(True, True, True, False)))

    assert sorted(names) == ["a", "c"]


def test_a_case_that_does_not_render_is_the_callers_to_see_to() -> None:
    scene = answering(False, TemplateRenderError("no such"))

    with pytest.raises(TemplateRenderError):
        BRANCH.begin(branch("a", "b"), scene)


def test_branches_are_given_what_an_input_mapping_says() -> None:
    config = {"cases": [{"branch": "b", "condition": WHEN}]}
    step = holding("branch", *STEPS, config=config, input_mapping="{{ output }}")
    scene = Script(answers={"case:0": [True]}, begins_with=7)

    assert [frame.given for frame in BRANCH.begin(step, scene).make] == [{"output": 7}]


def test_without_an_input_mapping_branches_are_given_nothing() -> None:
    (frame,) = BRANCH.begin(branch("a"), answering(True)).make

    assert frame.given == {}


# --- by weight ------------------------------------------------------------------------


def drawn(key: Any, **weights: float) -> Any:
    step = branch(weights=weights, sticky="{{ output }}")
    (name,) = chosen(BRANCH.begin(step, Script(rendered={"sticky": key})))
    return name


def test_branches_are_drawn_about_by_their_weight() -> None:
    counts = Counter(drawn(f"user {n}", a=70, b=20, c=10) for n in range(2000))

    assert 1300 < counts["a"] < 1500
    assert 320 < counts["b"] < 480
    assert 140 < counts["c"] < 260


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_equal_keys_always_draw_the_same_branch(key: Any) -> None:
    assert drawn(key, a=1, b=1, c=1) == drawn(key, c=1, b=1, a=1)


@given(st.integers(), st.floats(1e-6, 1e9))
def test_a_single_branch_is_always_drawn(key: int, weight: float) -> None:
    assert drawn(key, b=weight) == "b"


def test_the_order_of_an_objects_names_does_not_count_for_a_key() -> None:
    keys = [{"x": n, "y": 1} for n in range(50)]
    turned = [{"y": 1, "x": n} for n in range(50)]

    assert [drawn(key, a=1, b=1) for key in keys] == [
        drawn(key, a=1, b=1) for key in turned
    ]


def test_without_a_key_the_executions_id_draws() -> None:
    step = branch(weights={"a": 1, "b": 1})
    ids = [f"execution {n}" for n in range(60)]

    names = [chosen(BRANCH.begin(step, Script(execution_id=each))) for each in ids]

    assert names == [chosen(BRANCH.begin(step, Script(execution_id=e))) for e in ids]
    assert {name for (name,) in names} == {"a", "b"}


def test_two_steps_draw_by_one_key_without_agreeing() -> None:
    config = {"weights": {"a": 1, "b": 1}, "sticky": "{{ output }}"}
    steps = [holding("branch", *STEPS, config=config, key=key) for key in ("x", "y")]

    draws = [
        [chosen(BRANCH.begin(step, Script(rendered={"sticky": n}))) for n in range(60)]
        for step in steps
    ]

    assert draws[0] != draws[1]


def test_a_key_that_does_not_render_is_the_callers_to_see_to() -> None:
    step = branch(weights={"a": 1}, sticky="{{ output.x }}")

    with pytest.raises(TemplateRenderError):
        BRANCH.begin(step, Script(rendered={"sticky": TemplateRenderError("no x")}))


# --- what branches come to ------------------------------------------------------------


def heard(step: CompiledStep, before: Decision, *ended: EndedFrame) -> Decision:
    assert before.state is not None
    holder = HOLDERS[step.step.step_type]
    return holder.hear(step, Script(), before.state, ended)


def test_a_branch_step_comes_to_what_its_branch_does() -> None:
    step = branch("a", "b")
    begun = BRANCH.begin(step, answering(False, True))

    then = heard(step, begun, completed(0, "out", name="b"))

    assert then.finish == Finish(gathered=True)
    assert BRANCH.gather(step, {}, [completed(0, "out", name="b")]) == "out"


def test_all_branches_come_to_an_object_be_it_of_one() -> None:
    frames = [completed(0, "out", name="b")]

    assert BRANCH.gather(branch("a", mode="all"), {}, frames) == {"b": "out"}


def test_all_branches_that_run_are_waited_for() -> None:
    step = branch("a", "b", mode="all")
    begun = BRANCH.begin(step, answering(True, True))

    assert heard(step, begun, completed(1, name="b")).finish is None


@pytest.mark.parametrize("mode", ["first", "all"])
def test_a_branch_that_failed_fails_its_step_with_its_error(mode: str) -> None:
    step = branch("a", "b", mode=mode, **{"else": "c"})
    begun = BRANCH.begin(step, answering(True, True))

    then = heard(step, begun, failed(0, "why", name="a"))

    assert then.finish == Finish(error={"type": "bad", "message": "why"})
    assert not then.start


# --- parallel -------------------------------------------------------------------------


def test_a_parallel_step_starts_all_of_its_branches() -> None:
    decision = PARALLEL.begin(parallel(), Script())

    assert list(decision.start) == ["a", "b", "c"]
    assert [(frame.name, frame.number) for frame in decision.make] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
    ]


def test_branches_beyond_the_window_are_made_and_started_later_by_name() -> None:
    step = parallel(max_parallel=1)
    begun = PARALLEL.begin(step, Script())

    then = heard(step, begun, completed(0, name="a"))

    assert (len(begun.make), list(begun.start)) == (3, ["a"])
    assert (list(then.make), list(then.start)) == ([], ["b"])


@pytest.mark.parametrize(
    ("config", "successes"),
    [
        ({}, 3),
        ({"join": "all"}, 3),
        ({"join": "any"}, 1),
        ({"join": "n_of_m", "n": 2}, 2),
    ],
)
def test_so_many_successes_end_it_and_no_fewer(
    config: dict[str, Any], successes: int
) -> None:
    step = parallel(**config)
    decision = PARALLEL.begin(step, Script())

    for number, name in enumerate("abc"[: successes - 1]):
        decision = heard(step, decision, completed(number, name=name))
        assert decision.finish is None
    last = heard(step, decision, completed(successes - 1, name="abc"[successes - 1]))

    assert last.finish == Finish(gathered=True)


@pytest.mark.parametrize(
    ("config", "failures"), [({"join": "any"}, 3), ({"join": "n_of_m", "n": 2}, 2)]
)
def test_so_many_failures_are_too_many_and_no_fewer(
    config: dict[str, Any], failures: int
) -> None:
    step = parallel(**config)
    decision = PARALLEL.begin(step, Script())

    for number in range(failures - 1):
        decision = heard(step, decision, failed(number))
        assert decision.finish is None
    finish = heard(step, decision, failed(failures - 1)).finish

    assert finish is not None
    assert finish.error is not None
    assert finish.error["type"] == "too_few_succeeded"


def test_one_failure_ends_a_join_of_all_with_its_error() -> None:
    step = parallel()

    then = heard(step, PARALLEL.begin(step, Script()), failed(1, "why", name="b"))

    assert then.finish == Finish(error={"type": "bad", "message": "why"})


def test_branches_that_failed_or_were_cut_are_null() -> None:
    cut = EndedFrame(name="c", number=2, completed=False, output=None)
    frames = [completed(0, 1, name="a"), failed(1, name="b"), cut]

    output = PARALLEL.gather(parallel(join="any"), {}, frames)

    assert output == {"a": 1, "b": None, "c": None}
