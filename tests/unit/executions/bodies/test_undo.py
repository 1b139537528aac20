"""What undoes steps: the last one that was done first, one after the other."""

from __future__ import annotations

from typing import Any

from core_orchestration.definition import parse
from executions.bodies import HOLDERS, Decision
from executions.plan import compile_plan
from executions.plan.compiled import CompiledStep
from tests.unit.executions.bodies.scenes import Script, completed, failed
from tests.unit.executions.plans import step

UNDO = HOLDERS["undo"]
COMPENSATE = {"role_name": "undoer"}


def undoing(*keys: str) -> CompiledStep:
    """Compile the step that undoes steps with these keys."""
    steps = [step(key, compensate=COMPENSATE) for key in keys]
    plan = compile_plan(parse({"steps": steps}))
    return plan.beside("@rollback", "1").steps[0].compiled


def begun(*runs: tuple[str, Any]) -> Decision:
    return UNDO.begin(undoing("a", "b"), Script(completed_runs=runs))


def test_it_is_skipped_when_nothing_was_done() -> None:
    finish = begun().finish

    assert finish is not None
    assert finish.skipped


def test_it_asks_for_the_runs_of_the_steps_that_say_how() -> None:
    scene = Script()

    UNDO.begin(undoing("a", "b"), scene)

    assert scene.asked == [("done", ("a", "b"))]


def test_only_the_first_begins_at_once() -> None:
    decision = begun(("b", 2), ("a", 1))

    assert [frame.name for frame in decision.make] == ["b", "a"]
    assert list(decision.start) == ["b"]
    assert decision.note == {"steps": ["b", "a"]}


def test_each_is_given_what_its_step_came_to() -> None:
    decision = begun(("b", {"n": 2}), ("a", None))

    assert [frame.given for frame in decision.make] == [
        {"output": {"n": 2}},
        {"output": None},
    ]


def test_runs_inside_bodies_have_names_without_brackets() -> None:
    decision = begun(("each[3]/a", 1))

    assert [frame.name for frame in decision.make] == ["each(3)|a"]


def test_the_next_one_begins_when_one_is_undone() -> None:
    state = begun(("b", 2), ("a", 1)).state or {}

    decision = UNDO.hear(undoing("a", "b"), Script(), state, [completed(0, name="b")])

    assert list(decision.start) == ["a"]
    assert decision.finish is None


def test_the_next_one_begins_also_when_one_cannot_be_undone() -> None:
    state = begun(("b", 2), ("a", 1)).state or {}

    decision = UNDO.hear(undoing("a", "b"), Script(), state, [failed(0, name="b")])

    assert list(decision.start) == ["a"]


def test_in_the_end_it_counts_both() -> None:
    one = undoing("a", "b")
    state = begun(("b", 2), ("a", 1)).state or {}
    state = UNDO.hear(one, Script(), state, [failed(0, name="b")]).state or {}

    decision = UNDO.hear(one, Script(), state, [completed(1, name="a")])

    assert decision.finish is not None
    assert decision.finish.gathered
    assert UNDO.gather(one, decision.state or {}, []) == {"undone": 1, "failed": 1}
