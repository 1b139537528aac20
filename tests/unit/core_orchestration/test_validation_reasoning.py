"""The configs of reasoning patterns: roles, ranges, conditions, and made keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    ROLE_ID,
    codes,
    each,
    loop,
    orchestration,
    said,
    step,
)
from tests.unit.core_orchestration.definitions import found as found_in
from tests.unit.core_orchestration.reasoning import ACCEPT, WHOLE, pattern

CONFIG = "/steps/0/config"
WORK, MAP, TREE = "planner_executor_reviewer", "map_reduce", "tree_of_thoughts"
EVERY_ROLE = [
    *((WORK, each) for each in ("planner", "executor", "reviewer")),
    *((MAP, each) for each in ("mapper", "reducer")),
    *((TREE, each) for each in ("generator", "scorer")),
    *(("debate", each) for each in ("creator", "critic", "judge")),
    ("vote", "voter"),
]


def faults(kind: str, **config: Any) -> list[tuple[str, str]]:
    """List what is wrong with a config, by the rest of the pointer."""
    return [
        (pointer.removeprefix(CONFIG), code)
        for pointer, code in codes(pattern(kind, **config))
    ]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        *((kind, {}) for kind in WHOLE),
        (WORK, {"max_revisions": 0, "on_limit": "fail"}),
        (WORK, {"max_revisions": 1_000, "on_limit": "continue"}),
        (WORK, {"planner": {"role_name": "reader"}, "executor": {"role_id": ROLE_ID}}),
        (MAP, {"items": "{{ context.input.x }}", "max_parallel": 7}),
        (MAP, {"items": ["{{ context.input.x }}"], "item_errors": "drop"}),
        (TREE, {"threshold": -0.5, "breadth": 1, "depth": 100, "beam": 100}),
        ("debate", {"judge": "writer", "score": "mark.of_ten", "threshold": 0.5}),
        ("vote", {"quorum": 3, "field": "a.b", "tie_break": "first"}),
        ("vote", {"tie_break": "role", "tie_breaker": "reader"}),
        ("vote", {"tie_break": "fail", "samples": 1_000}),
    ],
)
def test_a_sound_pattern_has_no_problems(kind: str, config: dict[str, Any]) -> None:
    assert faults(kind, **config) == []


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in WHOLE for field in WHOLE[kind]]
)
def test_what_a_pattern_lacks_is_named(kind: str, field: str) -> None:
    assert faults(kind, **{field: None}) == [("", "required")]
    assert f"needs {field} in its config" in said(pattern(kind, **{field: None}))


@pytest.mark.parametrize(("kind", "field"), EVERY_ROLE)
@pytest.mark.parametrize(
    ("named", "below", "code"),
    [
        ("nobody", "", "unknown_role"),
        ({"role_name": "nobody"}, "/role_name", "unknown_role"),
        ({"role_id": "writer"}, "/role_id", "unknown_role"),
        ({"role_id": ROLE_ID[:-1] + "f"}, "/role_id", "unknown_role"),
        ({"role_id": ROLE_ID, "role_name": "writer"}, "/role_id", "ambiguous_role"),
        ({}, "", "missing_role"),
        ({"name": "writer"}, "/name", "unknown_field"),
        ({"role_name": 3}, "/role_name", "wrong_type"),
        ("", "", "blank"),
        (3, "", "wrong_type"),
    ],
)
def test_roles_exist(kind: str, field: str, named: Any, below: str, code: str) -> None:
    assert faults(kind, **{field: named}) == [(f"/{field}{below}", code)]


@pytest.mark.parametrize(
    ("kind", "config", "at", "code"),
    [
        (WORK, {"max_revisions": -1}, "/max_revisions", "out_of_range"),
        (WORK, {"max_revisions": 1_001}, "/max_revisions", "out_of_range"),
        (WORK, {"max_revisions": "2"}, "/max_revisions", "wrong_type"),
        (WORK, {"on_limit": "stop"}, "/on_limit", "unknown_choice"),
        (WORK, {"accept": True}, "/accept", "wrong_type"),
        (WORK, {"accept": {}}, "/accept", "invalid_condition"),
        (WORK, {"acept": ACCEPT}, "/acept", "unknown_field"),
        (MAP, {"items": "a, b"}, "/items", "wrong_type"),
        (MAP, {"items": "{{ context.input"}, "/items", "template_syntax"),
        (MAP, {"max_parallel": 0}, "/max_parallel", "out_of_range"),
        (MAP, {"item_errors": "skip"}, "/item_errors", "unknown_choice"),
        (TREE, {"breadth": 0}, "/breadth", "out_of_range"),
        (TREE, {"depth": 101}, "/depth", "out_of_range"),
        (TREE, {"beam": 1.5}, "/beam", "wrong_type"),
        (TREE, {"threshold": "high"}, "/threshold", "wrong_type"),
        ("debate", {"max_rounds": 0}, "/max_rounds", "out_of_range"),
        ("debate", {"threshold": True}, "/threshold", "wrong_type"),
        ("debate", {"score": "a..b"}, "/score", "invalid_name"),
        ("debate", {"score": "{{ output }}"}, "/score", "invalid_name"),
        ("vote", {"samples": 0}, "/samples", "out_of_range"),
        ("vote", {"samples": 1_001}, "/samples", "out_of_range"),
        ("vote", {"quorum": 4}, "/quorum", "out_of_range"),
        ("vote", {"field": ""}, "/field", "invalid_name"),
        ("vote", {"field": "x" * 201}, "/field", "invalid_name"),
        ("vote", {"tie_break": "last"}, "/tie_break", "unknown_choice"),
        ("vote", {"tie_break": "role"}, "", "required"),
        ("vote", {"tie_breaker": "reader"}, "/tie_breaker", "unexpected_field"),
    ],
)
def test_faulty_fields_are_pointed_at(
    kind: str, config: dict[str, Any], at: str, code: str
) -> None:
    assert faults(kind, **config) == [(at, code)]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_pattern_has_no_role_no_body_and_nothing_to_undo(kind: str) -> None:
    wrong = {
        **pattern(kind),
        "role_name": "writer",
        "steps": [step("inner")],
        "compensate": {"role_name": "writer"},
    }
    assert set(codes(wrong)) == {
        ("/steps/0/role_name", "unexpected_role"),
        ("/steps/0/steps", "unexpected_body"),
        ("/steps/0/compensate", "unexpected_field"),
    }
    assert "in its config" in said(wrong)


# --- references -------------------------------------------------------------------


@pytest.mark.parametrize("field", ["output.score", "context.first", "loop.index"])
def test_accept_reads_the_review_and_what_came_before(field: str) -> None:
    accept = {"field": field, "operator": "exists"}
    assert codes(step("first"), pattern(WORK, accept=accept)) == []


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("context.later", "forward_reference"),
        ("context.it", "self_reference"),
        ("context.it_plan", "unknown_reference"),
        ("item.x", "unknown_reference"),
    ],
)
def test_accept_reads_nothing_else(field: str, code: str) -> None:
    made = pattern(WORK, accept={"field": field, "operator": "exists"})
    assert codes(made, step("later")) == [(CONFIG + "/accept/field", code)]


def test_items_are_made_before_the_step() -> None:
    made = pattern(MAP, items="{{ context.later }}")
    assert codes(made, step("later")) == [(CONFIG + "/items", "forward_reference")]
    first = pattern(MAP, items="{{ output }}")
    assert codes(first) == [(CONFIG + "/items", "no_previous_output")]


@pytest.mark.parametrize("kind", WHOLE)
def test_from_outside_only_the_whole_is_seen(kind: str) -> None:
    after = step("after", input_mapping="{{ context.it }}")
    assert codes(pattern(kind), after) == []
    for name in ("it_task", "it_plan", "it_rounds", "it_samples"):
        peeks = step("after", input_mapping=f"{{{{ context.{name} }}}}")
        assert codes(pattern(kind), peeks) == [
            ("/steps/1/input_mapping", "unknown_reference")
        ]


def test_patterns_stand_in_bodies_and_after_a_failure() -> None:
    inner = {**pattern("vote"), "input_mapping": "{{ item }} {{ loop.index }}"}
    after = {**pattern("debate"), "key": "after"}
    whole = orchestration(loop(each(inner)), on_failure=[after])
    assert found_in(whole) == []


# --- keys -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (WORK, "it_execute"),
        (MAP, "it_reduce"),
        (TREE, "it_select"),
        ("debate", "it_round"),
        ("vote", "it_tally"),
    ],
)
def test_no_other_step_has_a_key_that_a_pattern_makes(kind: str, key: str) -> None:
    clash = [("/steps/1/key", "duplicate_key")]
    assert codes(step(key), pattern(kind)) == clash
    assert codes(loop(step(key)), pattern(kind)) == clash
    assert codes(step("a", output_mapping={key: 1}), pattern(kind)) == clash
    assert repr(key) in said(step(key), pattern(kind))


def test_only_keys_that_are_made_are_taken() -> None:
    assert codes(step("it_judge"), pattern("debate")) == []
    assert codes(step("it_judge"), pattern("debate", judge="writer")) != []
    assert codes(step("it_tie_break"), pattern("vote")) == []


def test_patterns_whose_keys_are_cut_to_the_same_are_told_apart() -> None:
    one, other = ({**pattern("vote"), "key": "k" * 63 + end} for end in "ab")
    assert codes(one, other) == [("/steps/1/key", "duplicate_key")]
    assert "what /steps/0 makes" in said(one, other)


def test_what_only_the_engine_makes_cannot_be_sent() -> None:
    made = {"key": "a", "step_type": "reckon", "config": {"function": "value"}}
    found = codes(made)
    assert ("/steps/0/step_type", "unknown_step_type") in found
