"""What can be wrong with a single step, whatever stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.definition import MARKER_TYPES
from core_orchestration.keys import KEY_PATTERN, RESERVED_KEYS
from roles.problems import child, listing, quoted

from .directory import RoleDirectory
from .named import check_role, check_roles_within, refuse_role
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
    "wait",
    "approval",
    "orchestration",
    "planner_executor_reviewer",
    "map_reduce",
    "tree_of_thoughts",
    "debate",
    "vote",
)
# What gets no input: no run of a body, no end of an execution, and no question.
_WITHOUT_INPUT = MARKER_TYPES | {"map", "wait", "approval"}
_INSTEAD = {
    "map": "what its body begins with is the item",
    "approval": "what is asked is its prompt",
}

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
    "milestone": Field(rule=text(64), nullable=True),
    "compensate": Field(rule=mapping, nullable=True),
    "config": Field(rule=mapping),
    "steps": Field(rule=sequence),
}
# What `compensate` may say; each means what it means for a step.
UNDOING = {name: FIELDS[name] for name in ("role_id", "role_name", "input_mapping")}
READ_ONLY = frozenset({"id", "created_at", "updated_at"})


def check_shape(
    sent: Mapping[str, Any], pointer: str, report: Report
) -> frozenset[str]:
    return check_fields(sent, pointer, FIELDS, READ_ONLY, report)


def placed_undoing(
    sent: Mapping[str, Any], sound: frozenset[str], step: str, report: Report
) -> Placed | None:
    """Check the shape of a step's `compensate`, and place it inside the step."""
    if "compensate" not in sound:
        return None
    undoing, pointer = sent["compensate"], child(step, "compensate")
    fields = check_fields(undoing, pointer, UNDOING, frozenset(), report)
    return Placed(sent=undoing, pointer=pointer, key="", order=0, sound=fields)


def check_step(
    step: Placed, roles: RoleDirectory, types: frozenset[str], report: Report
) -> None:
    """Report what a step's own fields say against each other and about roles."""
    _check_name(step, report)
    _check_type(step, types, report)
    _check_body(step, report)
    _check_input(step, report)
    if step.has_role:
        check_role(step, roles, report)
    else:
        refuse_role(step, report)
        check_roles_within(step, roles, report)
    _check_undoing(step, roles, report)


def _check_undoing(step: Placed, roles: RoleDirectory, report: Report) -> None:
    if step.undoing is None:
        return
    if step.has_role or step.step_type == "orchestration":
        check_role(step.undoing, roles, report, whose="What undoes the step")
    else:
        detail = (
            "Only a step that a role or another orchestration does can be undone, and "
            f"this one is of the type {quoted(step.step_type)}; leave it out"
            f"{', or give it to steps of the body' if step.holds_body else ''}."
        )
        report.add(step.at("compensate"), "unexpected_field", detail)


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
        detail = (
            f"A step of the type {quoted(kind)} has no input_mapping; "
            f"{_INSTEAD.get(kind, 'it takes no input')}. Leave it out."
        )
        report.add(step.at("input_mapping"), "unexpected_field", detail)
