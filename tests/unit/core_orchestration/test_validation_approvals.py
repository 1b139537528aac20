"""An approval can come to an end by what its config says, and asks somebody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core_orchestration.definitions import (
    approval,
    codes,
    each,
    loop,
    route,
    said,
    step,
)

LONGEST = 366 * 86_400_000
FORM = {"type": "object", "properties": {"amount": {"type": "number"}}}
MANAGERS = {"groups": ["managers"]}


def escalating(**escalation: Any) -> dict[str, Any]:
    return approval(timeout_ms=1, on_timeout="escalate", escalate_to=escalation)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"prompt": "Pay {{ context.input.amount }}?"},
        {"form": FORM, "on_reject": "continue"},
        {"users": ["ada"], "groups": ["managers"], "permission": "shop.approve_refund"},
        {"timeout_ms": 0},
        {"timeout_ms": "{{ context.input.x }}", "on_timeout": "approve"},
        {"timeout_ms": LONGEST, "on_timeout": "reject", "remind_every_ms": 1},
        {"timeout_ms": 1, "on_timeout": "escalate", "escalate_to": MANAGERS},
        {
            "timeout_ms": 1,
            "on_timeout": "escalate",
            "escalate_to": {
                "users": ["eve"],
                "timeout_ms": "{{ context.input.x }}",
                "on_timeout": "reject",
            },
        },
    ],
)
@pytest.mark.parametrize("holder", [None, loop, each, route])
def test_a_sound_approval_may_stand_anywhere(
    holder: Any, config: dict[str, Any]
) -> None:
    made = approval(**config)
    assert codes(holder(made) if holder else made) == []


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"prompt": None}, "/prompt", "wrong_type"),
        ({"prompt": " "}, "/prompt", "blank"),
        ({"prompt": "{{ x"}, "/prompt", "template_syntax"),
        ({"prompt": "{{ context.nope }}"}, "/prompt", "unknown_reference"),
        ({"form": None}, "/form", "wrong_type"),
        ({"form": True}, "/form", "wrong_type"),
        ({"form": {"type": "strng"}}, "/form/type", "invalid_schema"),
        ({"users": "ada"}, "/users", "wrong_type"),
        ({"users": [1]}, "/users/0", "wrong_type"),
        ({"users": [""]}, "/users/0", "blank"),
        ({"users": []}, "/users", "blank"),
        ({"users": ["x" * 151]}, "/users/0", "too_long"),
        ({"users": ["a"] * 101}, "/users", "too_long"),
        ({"users": ["{{ context.input.x }}"]}, "/users/0", "unexpected_template"),
        ({"groups": {"a": 1}}, "/groups", "wrong_type"),
        ({"groups": []}, "/groups", "blank"),
        ({"groups": ["a", "{{ output }}"]}, "/groups/1", "unexpected_template"),
        ({"permission": "approve"}, "/permission", "invalid_name"),
        ({"permission": "shop.approve.x"}, "/permission", "invalid_name"),
        ({"permission": ".approve"}, "/permission", "invalid_name"),
        ({"permission": "shop."}, "/permission", "invalid_name"),
        ({"permission": "{{ output }}"}, "/permission", "invalid_name"),
        ({"permission": ["shop.approve"]}, "/permission", "wrong_type"),
        ({"on_reject": "ignore"}, "/on_reject", "unknown_choice"),
        ({"timeout_ms": "1"}, "/timeout_ms", "wrong_type"),
        ({"timeout_ms": -1}, "/timeout_ms", "out_of_range"),
        ({"timeout_ms": LONGEST + 1}, "/timeout_ms", "out_of_range"),
        ({"timeout_ms": 1, "on_timeout": "continue"}, "/on_timeout", "unknown_choice"),
        ({"on_timeout": "approve"}, "/on_timeout", "unexpected_field"),
        ({"timeout_ms": 1, "on_timeout": "escalate"}, "", "required"),
        ({"escalate_to": MANAGERS}, "/escalate_to", "unexpected_field"),
        (
            {"timeout_ms": 1, "on_timeout": "reject", "escalate_to": MANAGERS},
            "/escalate_to",
            "unexpected_field",
        ),
        ({"remind_every_ms": 0}, "/remind_every_ms", "out_of_range"),
        ({"remind_every_ms": LONGEST + 1}, "/remind_every_ms", "out_of_range"),
        ({"remind_every_ms": "{{ output }}"}, "/remind_every_ms", "wrong_type"),
        ({"promt": "x"}, "/promt", "unknown_field"),
    ],
)
def test_a_faulty_approval_is_refused_at_the_field(
    config: dict[str, Any], pointer: str, code: str
) -> None:
    assert codes(approval(**config)) == [("/steps/0/config" + pointer, code)]


@pytest.mark.parametrize(
    ("escalation", "pointer", "code"),
    [
        ({}, "", "required"),
        ({"timeout_ms": 1}, "", "required"),
        ({"users": []}, "/users", "blank"),
        ({"user": ["a"]}, "/user", "unknown_field"),
        ({**MANAGERS, "permission": "x"}, "/permission", "invalid_name"),
        ({**MANAGERS, "timeout_ms": "x"}, "/timeout_ms", "wrong_type"),
        ({**MANAGERS, "timeout_ms": "{{ x"}, "/timeout_ms", "template_syntax"),
        (
            {**MANAGERS, "timeout_ms": "{{ context.nope }}"},
            "/timeout_ms",
            "unknown_reference",
        ),
        ({**MANAGERS, "on_timeout": "approve"}, "/on_timeout", "unexpected_field"),
        (
            {**MANAGERS, "timeout_ms": 1, "on_timeout": "escalate"},
            "/on_timeout",
            "unknown_choice",
        ),
    ],
)
def test_a_faulty_escalation_is_refused_at_the_field(
    escalation: dict[str, Any], pointer: str, code: str
) -> None:
    problem = ("/steps/0/config/escalate_to" + pointer, code)
    assert codes(escalating(**escalation)) == [problem]


@pytest.mark.parametrize("nonsense", [None, 1, "managers", [], True])
def test_an_escalation_is_an_object(nonsense: object) -> None:
    made = approval(timeout_ms=1, on_timeout="escalate", escalate_to=nonsense)
    assert codes(made) == [("/steps/0/config/escalate_to", "wrong_type")]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"role_name": "writer"}, "/role_name", "unexpected_role"),
        ({"steps": [step("a")]}, "/steps", "unexpected_body"),
        ({"input_mapping": "x"}, "/input_mapping", "unexpected_field"),
        ({"compensate": {"role_name": "writer"}}, "/compensate", "unexpected_field"),
    ],
)
def test_an_approval_has_neither_role_nor_body_nor_input(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert codes({**approval(), **fields}) == [("/steps/0" + pointer, code)]


def test_it_is_said_what_to_do() -> None:
    assert "prompt" in said({**approval(), "input_mapping": "x"})
    assert "managers" in said(approval(timeout_ms=1, on_timeout="escalate"))
    assert "shop.approve_refund" in said(approval(permission="x"))
