"""What can be wrong with a single step, whatever stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.definition import KEY_PATTERN, MARKER_TYPES, RESERVED_KEYS
from roles.problems import listing, quoted

from .directory import RoleDirectory, normal_id
from .placed import ALWAYS_HOLDING, Placed
from .report import Report
from .shapes import (
    Field,
    anything,
    boolean,
    check_fields,
    mapping,
    name_like,
    number,
    one_of,
    sequence,
    text,
    whole_number,
)

SUPPORTED = (
    "sequential",
    "parallel",
    "conditional",
    "loop",
    "map",
    "branch",
    "break",
    "stop",
)
# What each run of the body, or the end of the execution, gets no input from.
_WITHOUT_INPUT = MARKER_TYPES | {"map"}

_DAY_MS = 24 * 60 * 60 * 1000
_MONTH_MS = 30 * _DAY_MS
_YEAR_MS = 366 * _DAY_MS
_MAX_ORDER = 1_000_000_000

FIELDS: Mapping[str, Field] = {
    "key": Field(rule=text(10_000), nullable=True),
    "name": Field(rule=text(200), nullable=True),
    "description": Field(rule=text(10_000, blank=True)),
    "order": Field(rule=whole_number(-_MAX_ORDER, _MAX_ORDER)),
    "step_type": Field(rule=text(100)),
    "role_id": Field(rule=text(100), nullable=True),
    "role_name": Field(rule=text(200), nullable=True),
    "parallel_group": Field(rule=text(64), nullable=True),
    "condition": Field(rule=mapping, nullable=True),
    "input_mapping": Field(rule=anything, nullable=True),
    "output_mapping": Field(rule=mapping, nullable=True),
    "max_retries": Field(rule=whole_number(0, 100)),
    "retry_delay_ms": Field(rule=whole_number(0, _MONTH_MS)),
    "retry_backoff": Field(rule=number(1.0, 100.0)),
    "retry_max_delay_ms": Field(rule=whole_number(0, _MONTH_MS)),
    "retry_jitter": Field(rule=boolean),
    "timeout_ms": Field(rule=whole_number(1, 7 * _DAY_MS)),
    "total_timeout_ms": Field(rule=whole_number(1, _YEAR_MS), nullable=True),
    "queue_timeout_ms": Field(rule=whole_number(1, _YEAR_MS), nullable=True),
    "at_most_once": Field(rule=boolean),
    "on_error": Field(rule=one_of("fail", "continue")),
    "branch": Field(
        rule=name_like(KEY_PATTERN, "1 to 64 of a-z, 0-9 and _, a letter first"),
        nullable=True,
    ),
    "config": Field(rule=mapping),
    "steps": Field(rule=sequence),
}
READ_ONLY = frozenset({"id", "created_at", "updated_at"})


def check_shape(
    sent: Mapping[str, Any], pointer: str, report: Report
) -> frozenset[str]:
    return check_fields(sent, pointer, FIELDS, READ_ONLY, report)


def check_step(
    step: Placed, roles: RoleDirectory, types: frozenset[str], report: Report
) -> None:
    """Report what a step's own fields say against each other and about roles."""
    _check_name(step, report)
    _check_type(step, types, report)
    _check_body(step, report)
    _check_input(step, report)
    if step.has_role:
        _check_role(step, roles, report)
    else:
        _refuse_role(step, report)


def _check_name(step: Placed, report: Report) -> None:
    if step.sent.get("name") is None and step.sent.get("key") is None:
        detail = "The step has neither a name nor a key; give it at least one."
        report.add(step.pointer, "missing_name", detail)
    key = step.get("key")
    if key is None:
        return
    if not KEY_PATTERN.fullmatch(key):
        detail = (
            f"{quoted(key)} cannot be a key: templates write context.<key>, so it is "
            "1 to 64 of a-z, 0-9 and _, and starts with a letter."
        )
        report.add(step.at("key"), "invalid_key", detail)
    elif key in RESERVED_KEYS:
        detail = (
            f"{quoted(key)} has a meaning of its own in templates; choose another key."
        )
        report.add(step.at("key"), "reserved_key", detail)


def _check_type(step: Placed, types: frozenset[str], report: Report) -> None:
    kind = step.step_type
    known = types | frozenset(SUPPORTED)
    if kind not in known:
        hint = report.suggest(kind, known)
        detail = (
            f"There is no step type {quoted(kind)}.{hint} "
            f"The types are {listing(sorted(types))}."
        )
        report.add(step.at("step_type"), "unknown_step_type", detail)
    elif kind not in types:
        detail = (
            f"Steps of the type {quoted(kind)} cannot be run by this release; "
            f"the types are {listing(sorted(types))}."
        )
        report.add(step.at("step_type"), "unsupported_step_type", detail)
    if kind == "conditional" and step.sent.get("condition") is None:
        detail = "A conditional step needs a condition."
        report.add(step.pointer, "missing_condition", detail)


def _check_body(step: Placed, report: Report) -> None:
    kind, steps = step.step_type, step.sent.get("steps")
    if kind in ALWAYS_HOLDING and not steps:
        detail = f"A {kind} needs at least one step in its steps."
        report.add(step.pointer, "empty_body", detail)
    if kind == "parallel" and not steps and "parallel_group" not in step.sound:
        detail = (
            "A parallel step needs a parallel_group that names its group, or steps of "
            "its own, which are its branches."
        )
        report.add(step.pointer, "empty_group", detail)
    if not step.holds_body and step.get("steps"):
        detail = (
            f"A step of the type {quoted(kind)} holds no steps of its own; move them "
            "beside it."
        )
        report.add(step.at("steps"), "unexpected_body", detail)


def _check_input(step: Placed, report: Report) -> None:
    kind = step.step_type
    if kind in _WITHOUT_INPUT and step.sent.get("input_mapping") is not None:
        instead = "what its body begins with is the item" if kind == "map" else ""
        detail = (
            f"A step of the type {quoted(kind)} has no input_mapping; "
            f"{instead or 'it takes no input'}. Leave it out."
        )
        report.add(step.at("input_mapping"), "unexpected_field", detail)


def _refuse_role(step: Placed, report: Report) -> None:
    for name in ("role_id", "role_name"):
        if step.sent.get(name) is not None:
            where = ", or name it in a step of the body" if step.holds_body else ""
            detail = (
                f"A step of the type {quoted(step.step_type)} is done without a role; "
                f"leave it out{where}."
            )
            report.add(step.at(name), "unexpected_role", detail)


def _check_role(step: Placed, roles: RoleDirectory, report: Report) -> None:
    role_id, role_name = step.sent.get("role_id"), step.sent.get("role_name")
    if role_id is not None and role_name is not None:
        detail = "Name the role by role_id or by role_name, not by both."
        report.add(step.at("role_id"), "ambiguous_role", detail)
    elif role_id is None and role_name is None:
        detail = "The step has no role; name one with role_name or role_id."
        report.add(step.pointer, "missing_role", detail)
    _check_role_exists(step, roles, report)


def _check_role_exists(step: Placed, roles: RoleDirectory, report: Report) -> None:
    role_id, name = step.get("role_id"), step.get("role_name")
    if role_id is not None and normal_id(role_id) is None:
        hint = " For a name, use role_name." if role_id in roles.names else ""
        detail = f"{quoted(role_id)} is not a role's id, which is a UUID.{hint}"
        report.add(step.at("role_id"), "unknown_role", detail)
    elif role_id is not None and not roles.has_id(role_id):
        detail = f"There is no role with the id {quoted(role_id)}."
        report.add(step.at("role_id"), "unknown_role", detail)
    if name is not None and name not in roles.names:
        hint = report.suggest(name, roles.names)
        detail = f"There is no role named {quoted(name)}.{hint}"
        report.add(step.at("role_name"), "unknown_role", detail)
