"""What ends a loop or an execution: only where it can, and saying only what fits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    WHEN,
    abreast,
    codes,
    each,
    loop,
    route,
    said,
    step,
)


def leave(**fields: Any) -> dict[str, Any]:
    return {"key": "leave", "step_type": "break", **fields}


def halt(**fields: Any) -> dict[str, Any]:
    return {"key": "halt", "step_type": "stop", **fields}


@pytest.mark.parametrize(
    "inside",
    [
        leave(condition=WHEN),
        route(leave()),
        route(step("a"), leave()),
        abreast(leave(condition=WHEN), step("b")),
        route(abreast(leave())),
        each(loop(leave(condition=WHEN), key="inner")),
    ],
)
def test_a_break_stands_in_a_loop_and_depends_on_something(inside: Any) -> None:
    assert codes(loop(step("first"), inside)) == []


@pytest.mark.parametrize(
    ("outermost", "below"),
    [
        (leave(condition=WHEN), ""),
        (route(leave()), "/steps/0"),
        (each(leave(condition=WHEN)), "/steps/0"),
        (loop(each(leave(condition=WHEN))), "/steps/0/steps/0"),
        (loop(each(route(leave()))), "/steps/0/steps/0/steps/0"),
        (loop(route(each(leave()))), "/steps/0/steps/0/steps/0"),
    ],
)
def test_a_break_that_can_reach_no_loop_is_refused(outermost: Any, below: str) -> None:
    assert codes(outermost) == [("/steps/0" + below, "misplaced_break")]


def test_it_is_said_what_a_break_cannot_leave() -> None:
    assert "cannot leave a map" in said(loop(each(leave(condition=WHEN))))
    assert "this one is in none" in said(leave(condition=WHEN))


@pytest.mark.parametrize(
    ("outermost", "below"),
    [
        (loop(leave()), "/steps/0"),
        (loop(leave(condition=None)), "/steps/0"),
        (loop(abreast(leave())), "/steps/0/steps/0"),
        (route(loop(leave())), "/steps/0/steps/0"),
    ],
)
def test_a_break_that_depends_on_nothing_is_refused(outermost: Any, below: str) -> None:
    assert codes(outermost) == [("/steps/0" + below, "missing_condition")]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"config": {"status": "failed"}}, "/config/status", "unknown_field"),
        ({"steps": [step("a")]}, "/steps", "unexpected_body"),
        ({"role_name": "writer"}, "/role_name", "unexpected_role"),
        ({"input_mapping": "x"}, "/input_mapping", "unexpected_field"),
        ({"branch": "x"}, "/branch", "unexpected_branch"),
    ],
)
def test_a_break_has_neither_role_nor_body_nor_config(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    problems = codes(loop(leave(condition=WHEN, **fields)))
    assert problems == [("/steps/0/steps/0" + pointer, code)]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"status": "completed"},
        {"status": "completed", "output": {"x": "{{ context.input.x }}"}},
        {"output": 3},
        {"status": "failed"},
        {"status": "failed", "message": "No {{ context.input.x }} is left."},
    ],
)
@pytest.mark.parametrize("holder", [None, loop, each, route, abreast])
def test_a_sound_stop_may_stand_anywhere(holder: Any, config: dict[str, Any]) -> None:
    stop = halt(config=config, condition=WHEN)
    assert codes(holder(stop) if holder else stop) == []


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"config": {"status": "cancelled"}}, "/config/status", "unknown_choice"),
        ({"config": {"status": 1, "message": "x"}}, "/config/status", "unknown_choice"),
        ({"config": {"message": "x"}}, "/config/message", "unexpected_field"),
        (
            {"config": {"status": "completed", "message": "x"}},
            "/config/message",
            "unexpected_field",
        ),
        (
            {"config": {"status": "failed", "output": 1}},
            "/config/output",
            "unexpected_field",
        ),
        (
            {"config": {"status": "failed", "message": {}}},
            "/config/message",
            "wrong_type",
        ),
        (
            {"config": {"status": "failed", "message": "{{ x"}},
            "/config/message",
            "template_syntax",
        ),
        ({"config": {"output": None}}, "/config/output", "wrong_type"),
        ({"config": {"output": ["{{ }}"]}}, "/config/output/0", "template_syntax"),
        ({"config": {"reason": "x"}}, "/config/reason", "unknown_field"),
        ({"steps": [step("a")]}, "/steps", "unexpected_body"),
        ({"role_id": "x"}, "/role_id", "unexpected_role"),
        ({"input_mapping": {"x": 1}}, "/input_mapping", "unexpected_field"),
    ],
)
def test_a_faulty_stop_is_refused_at_the_field(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert codes(halt(**fields)) == [("/steps/0" + pointer, code)]
