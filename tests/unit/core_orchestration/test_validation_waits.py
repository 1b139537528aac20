"""A wait is for exactly one thing, and says only what fits it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    WHEN,
    abreast,
    codes,
    each,
    loop,
    said,
    step,
    wait,
)

LONGEST = 366 * 86_400_000
PAID = {"field": "event.payload.paid", "operator": "==", "value": True}


@pytest.mark.parametrize(
    "config",
    [
        {"duration_ms": 0},
        {"duration_ms": LONGEST},
        {"duration_ms": "{{ context.input.delay }}"},
        {"until": "2030-01-31T09:00:00Z"},
        {"until": "2030-01-31T09:00:00.5+02:00"},
        {"until": "{{ context.input.due }}"},
        {"event": "paid"},
        {"event": "order {{ context.input.id }} is paid"},
        {"event": "paid", "match": PAID, "since": "wait"},
        {"event": "paid", "match": {"all": [PAID, WHEN]}},
        {"event": "paid", "match": {**PAID, "field": "event.name"}},
        {"event": "paid", "match": {**PAID, "field": "event"}},
        {"event": "paid", "match": {**PAID, "value": "{{ context.input.x }}"}},
        {"event": "paid", "timeout_ms": 0},
        {"event": "paid", "timeout_ms": "{{ context.input.x }}"},
        {"event": "paid", "timeout_ms": LONGEST, "on_timeout": "continue"},
    ],
)
@pytest.mark.parametrize("holder", [None, loop, each, abreast])
def test_a_sound_wait_may_stand_anywhere(holder: Any, config: dict[str, Any]) -> None:
    assert codes(holder(wait(**config)) if holder else wait(**config)) == []


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({}, "", "required"),
        ({"match": PAID}, "", "required"),
        ({"duration_ms": 1, "until": "{{ context.input.x }}"}, "/until", None),
        ({"duration_ms": 1, "event": "a"}, "/event", None),
        ({"until": "2030-01-31T09:00:00Z", "event": "a"}, "/event", None),
        ({"duration_ms": -1}, "/duration_ms", "out_of_range"),
        ({"duration_ms": LONGEST + 1}, "/duration_ms", "out_of_range"),
        ({"duration_ms": 1.5}, "/duration_ms", "wrong_type"),
        ({"duration_ms": True}, "/duration_ms", "wrong_type"),
        ({"duration_ms": None}, "/duration_ms", "wrong_type"),
        ({"duration_ms": "1000"}, "/duration_ms", "wrong_type"),
        ({"duration_ms": "{{ }}"}, "/duration_ms", "template_syntax"),
        ({"until": 5}, "/until", "wrong_type"),
        ({"until": ""}, "/until", "blank"),
        ({"until": "tomorrow"}, "/until", "invalid_time"),
        ({"until": "2030-01-31"}, "/until", "invalid_time"),
        ({"until": "2030-01-31T09:00:00"}, "/until", "invalid_time"),
        ({"until": "2030-02-31T09:00:00Z"}, "/until", "invalid_time"),
        ({"until": PAID}, "/until", "wrong_type"),
        ({"until": "{{ x"}, "/until", "template_syntax"),
        ({"event": ""}, "/event", "blank"),
        ({"event": 7}, "/event", "wrong_type"),
        ({"event": "x" * 201}, "/event", "too_long"),
        ({"event": "{{ context.nope }}"}, "/event", "unknown_reference"),
        ({"event": "{{ event.name }}"}, "/event", "unknown_reference"),
        ({"event": "a", "match": []}, "/match", "wrong_type"),
        ({"event": "a", "match": {}}, "/match", "invalid_condition"),
        ({"event": "a", "since": "ever"}, "/since", "unknown_choice"),
        ({"event": "a", "timeout_ms": "5"}, "/timeout_ms", "wrong_type"),
        ({"event": "a", "timeout_ms": -1}, "/timeout_ms", "out_of_range"),
        ({"event": "a", "timeout_ms": LONGEST + 1}, "/timeout_ms", "out_of_range"),
        ({"event": "a", "on_timeout": "continue"}, "/on_timeout", "unexpected_field"),
        (
            {"event": "a", "timeout_ms": 1, "on_timeout": "approve"},
            "/on_timeout",
            "unknown_choice",
        ),
        ({"duration_ms": 1, "match": PAID}, "/match", "unexpected_field"),
        ({"duration_ms": 1, "since": "wait"}, "/since", "unexpected_field"),
        ({"duration_ms": 1, "timeout_ms": 1}, "/timeout_ms", "unexpected_field"),
        ({"duration_ms": 1, "on_timeout": "fail"}, "/on_timeout", "unexpected_field"),
        ({"duration": 1}, "/duration", "unknown_field"),
    ],
)
def test_a_faulty_wait_is_refused_at_the_field(
    config: dict[str, Any], pointer: str, code: str | None
) -> None:
    problem = ("/steps/0/config" + pointer, code or "conflicting_fields")
    assert problem in codes(wait(**config))
    assert all(at.startswith("/steps/0/config") for at, _ in codes(wait(**config)))


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"role_name": "writer"}, "/role_name", "unexpected_role"),
        ({"role_id": "x"}, "/role_id", "unexpected_role"),
        ({"steps": [step("a")]}, "/steps", "unexpected_body"),
        ({"input_mapping": {"x": 1}}, "/input_mapping", "unexpected_field"),
        ({"compensate": {"role_name": "writer"}}, "/compensate", "unexpected_field"),
    ],
)
def test_a_wait_has_neither_role_nor_body_nor_input(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    made = {**wait(duration_ms=1), **fields}
    assert codes(made) == [("/steps/0" + pointer, code)]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("event.nmae", "'name'"),
        ("event.paid", "no 'paid'"),
        ("event.0", "no '0'"),
        ("evnt.name", "'event'"),
        ("context.event", "no step has the key"),
        ("item", "inside a map"),
    ],
)
def test_an_event_has_a_payload_and_a_name_and_nothing_else(
    field: str, hint: str
) -> None:
    made = wait(event="paid", match={**PAID, "field": field})
    assert codes(made) == [("/steps/0/config/match/field", "unknown_reference")]
    assert hint in said(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"condition": {**PAID, "field": "event.name"}},
        {"input_mapping": "{{ event.payload }}"},
        {"output_mapping": {"x": "{{ event.payload }}"}},
    ],
)
def test_an_event_is_only_there_in_the_match_of_a_wait(fields: dict[str, Any]) -> None:
    ((_, code),) = codes(wait(event="paid"), step("after", **fields))
    assert code == "unknown_reference"
    assert "match of a wait" in said(wait(event="paid"), step("after", **fields))


def test_a_match_reads_what_stands_before_it_and_not_the_wait_itself() -> None:
    match = {**PAID, "value": "{{ context.first.id }}"}
    assert codes(step("first"), wait(event="paid", match=match)) == []
    match = {**PAID, "value": "{{ context.pause.id }}"}
    assert codes(wait(event="paid", match=match)) == [
        ("/steps/0/config/match/value", "self_reference")
    ]


def test_what_a_time_has_to_look_like_is_said() -> None:
    assert "time zone" in said(wait(until="2030-01-31T09:00:00"))
    assert "2030-01-31T09:00:00Z" in said(wait(until="soon"))
