"""What holds for every type with a body: roles, nesting, groups and sizes."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.definition import parse, to_json
from core_orchestration.validation import SUPPORTED
from tests.unit.core_orchestration.definitions import (
    ROLE_ID,
    WHEN,
    abreast,
    approval,
    child,
    codes,
    each,
    found,
    loop,
    orchestration,
    route,
    said,
    step,
    wait,
)

HOLDERS = [loop, each, route, abreast]


def everything() -> dict[str, Any]:
    """Nest all types into each other."""
    draft = step("draft", input_mapping={"n": "{{ loop.index }}", "of": "{{ item }}"})
    leave = {"key": "leave", "step_type": "break"}
    judge = route(step("review"), leave, key="judge")
    halt = {
        "key": "halt",
        "step_type": "stop",
        "branch": "bad",
        "config": {"status": "failed", "message": "{{ output }}"},
    }
    both = abreast(
        step("left"),
        step("right", branch="bad", step_type="conditional", condition=WHEN),
        halt,
    )
    match = {"field": "event.payload.of", "operator": "==", "value": "{{ item }}"}
    waiting = [
        wait(event="{{ item }} is in", match=match, timeout_ms=5, on_timeout="fail"),
        approval(prompt="Is {{ output }} right?", users=["ada"], form={}),
        child(orchestration_name="Another", version=3, wait=False),
    ]
    tell = step("tell", input_mapping="{{ context.failure.message }}")
    return orchestration(
        each(loop(draft, judge), both, *waiting),
        output="{{ context.each }}",
        on_failure=[loop(tell, key="insist")],
        limits={"max_steps": 7},
    )


def test_all_types_stand_in_each_other() -> None:
    assert found(everything()) == []
    assert set(SUPPORTED) == {
        *("sequential", "parallel", "conditional"),
        *("loop", "map", "branch", "break", "stop"),
        *("wait", "approval", "orchestration"),
        *("planner_executor_reviewer", "map_reduce", "tree_of_thoughts"),
        *("debate", "vote"),
    }


def test_a_sound_document_of_all_types_is_parsed_and_written_back() -> None:
    definition = parse(everything())
    snapshot = to_json(definition)
    assert parse(snapshot) == definition
    assert found({"name": "Again", **snapshot}) == []
    (outer,) = definition.steps
    assert list(outer.steps[1].branches) == ["left", "bad"]
    assert [inner.key for inner in outer.steps[1].branches["bad"]] == ["right", "halt"]
    assert [inner.has_role for inner in outer.steps[1].steps] == [True, True, False]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "role", [{"role_name": "writer"}, {"role_id": ROLE_ID}, {"role_name": "nobody"}]
)
def test_a_type_without_a_role_names_none(holder: Any, role: dict[str, str]) -> None:
    (field,) = role
    problems = codes(holder(step("a"), **role))
    assert problems == [(f"/steps/0/{field}", "unexpected_role")]
    assert "name it in a step of the body" in said(holder(step("a"), **role))


@pytest.mark.parametrize("holder", HOLDERS)
def test_steps_inside_are_checked_like_all_others(holder: Any) -> None:
    faulty = step("a", role_name="nobody", timeout_ms=0)
    assert set(codes(holder(faulty))) == {
        ("/steps/0/steps/0/role_name", "unknown_role"),
        ("/steps/0/steps/0/timeout_ms", "out_of_range"),
    }
    assert codes(holder({"key": "a"})) == [("/steps/0/steps/0", "missing_role")]


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_every_step_may_have_holders_have_too(holder: Any) -> None:
    fields = {
        "condition": WHEN,
        "parallel_group": "g",
        "output_mapping": {"made": "{{ output }}"},
        "on_error": "continue",
        "max_retries": 2,
        "timeout_ms": 5,
    }
    beside = step("beside", parallel_group="g")
    assert codes(holder(step("a"), **fields), beside) == []


@pytest.mark.parametrize("holder", [loop, route, abreast])
def test_an_input_mapping_says_what_a_body_begins_with(holder: Any) -> None:
    given = {"input_mapping": {"x": "{{ context.input.x }}"}}
    assert codes(holder(step("a"), **given)) == []
    wrong = {"input_mapping": "{{ context.a }}"}
    assert codes(holder(step("a"), **wrong)) == [
        ("/steps/0/input_mapping", "inner_reference")
    ]


@pytest.mark.parametrize("step_type", ["sequential", "conditional", "break", "stop"])
def test_only_types_with_a_body_hold_steps(step_type: str) -> None:
    problems = codes(step("a", step_type=step_type, steps=[step("b")]))
    assert ("/steps/0/steps", "unexpected_body") in problems
    problems = codes(step("a", step_type=step_type, steps=[]))
    assert "unexpected_body" not in {code for _, code in problems}


@pytest.mark.parametrize("holder", HOLDERS)
def test_keys_are_unique_across_all_bodies(holder: Any) -> None:
    assert codes(step("a"), holder(step("a"))) == [
        ("/steps/1/steps/0/key", "duplicate_key")
    ]
    clashing = holder(step("b", output_mapping={"a": 1}))
    assert codes(step("a"), clashing) == [
        ("/steps/1/steps/0/output_mapping/a", "duplicate_key")
    ]


@pytest.mark.parametrize("holder", [loop, each])
def test_a_group_inside_a_body_is_not_split(holder: Any) -> None:
    grouped = {"parallel_group": "g"}
    body = [step("a", **grouped), step("b"), step("c", **grouped)]
    assert codes(holder(*body)) == [("/steps/0/steps/2/parallel_group", "split_group")]


def deepest(levels: int, **innermost: Any) -> dict[str, Any]:
    inner = step("deepest", **innermost)
    for level in range(1, levels):
        inner = loop(inner, key=f"l_{level}")
    return inner


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_twenty_levels_of_steps_may_have_configs_that_are_deep_as_well() -> None:
    assert codes(deepest(20, config={"x": nested(49)})) == []
    assert codes(deepest(20, steps=[])) == []
    pointer = "/steps/0" * 20 + "/config"
    problems = codes(deepest(20, config={"x": nested(51)}))
    assert problems
    assert all(at.startswith(pointer) and code == "too_deep" for at, code in problems)
    assert codes(deepest(21)) == [("/steps/0" * 20 + "/steps", "too_deep")]


def test_a_deep_config_of_a_holder_is_refused_at_its_place() -> None:
    inner = each(step("a"), config={"items": nested(60)})
    problems = codes(loop(inner))
    assert problems
    assert all(at.startswith("/steps/0/steps/0/config") for at, _ in problems)


@pytest.mark.parametrize("nonsense", [1, None, "a", [], True])
def test_what_is_no_step_inside_a_body_is_refused(nonsense: object) -> None:
    assert codes(loop(step("a"), nonsense)) == [("/steps/0/steps/1", "wrong_type")]
    branches = abreast(step("a"), step("b"))
    branches["steps"].append(nonsense)
    assert codes(branches) == [("/steps/0/steps/2", "wrong_type")]


def test_ten_thousand_steps_in_one_body_are_looked_at_in_time() -> None:
    body = [step(f"s_{i}", branch=f"b_{i // 2}") for i in range(9_998)]
    assert codes(abreast(*body)) == []
    assert codes(route(*body)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"config": None},
        {"config": 3},
        {"steps": {"a": 1}},
        {"steps": "abc"},
        {"step_type": 1},
        {"step_type": None},
        {"branch": []},
        {"key": None, "name": None},
        {"config": {"cases": {}, "weights": [], "else": [], "mode": []}},
        {"config": {"items": {}, "join": [], "n": "x", "while": 1, "until": "x"}},
        {"config": {"\ud800": 1}},
    ],
)
@pytest.mark.parametrize("holder", HOLDERS)
def test_nonsense_is_refused_and_breaks_nothing(
    holder: Any, fields: dict[str, Any]
) -> None:
    assert codes(holder(step("a"), **fields))
    assert codes(loop(holder(step("a"), **fields)))
