"""The configs of the types that wait: `wait`, `approval` and `orchestration`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core_orchestration.validation.shapes import (
    Field,
    Rule,
    boolean,
    mapping,
    name_like,
    one_of,
    text,
    texts,
    whole_number,
)
from roles.problems import Problem, child, quoted
from roles.schemas import schema_problems

from .rules import is_template, object_of, or_template, unless_template

_YEAR_MS = 366 * 24 * 60 * 60 * 1000
_MAX_VERSION = 2**31 - 1
_PERMISSION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\.[A-Za-z0-9_]{1,100}")


def _moment(value: Any, pointer: str) -> Iterator[Problem]:
    faults = list(text(100)(value, pointer))
    yield from faults
    if not faults and (reason := _no_moment(value)):
        detail = (
            f"{quoted(value)} {reason}; write a time such as 2030-01-31T09:00:00Z, or "
            "a template that gives one."
        )
        yield Problem(pointer, "invalid_time", detail)


def _no_moment(written: str) -> str:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return "is not a time of ISO 8601"
    return "" if moment.tzinfo else "does not say in which time zone"


def _form(value: Any, pointer: str) -> Iterator[Problem]:
    faults = list(mapping(value, pointer))
    yield from faults or schema_problems(value, pointer)


def _names(value: Any, pointer: str) -> Iterator[Problem]:
    yield from texts(100, 150)(value, pointer)
    if value == []:
        detail = "This must not be empty; leave it out to name nobody."
        yield Problem(pointer, "blank", detail)
    for place, name in enumerate(value if isinstance(value, list) else ()):
        if is_template(name):
            detail = "A name is fixed text; placeholders are not filled in here."
            yield Problem(child(pointer, place), "unexpected_template", detail)


_DURATION = or_template(whole_number(0, _YEAR_MS), "a whole number")
_PEOPLE: Mapping[str, Rule] = {
    "users": _names,
    "groups": _names,
    "permission": name_like(_PERMISSION, "app.codename, such as shop.approve_refund"),
}
_ESCALATION: Mapping[str, Rule] = {
    **_PEOPLE,
    "timeout_ms": _DURATION,
    "on_timeout": one_of("approve", "reject", "fail"),
}

WAITING_CONFIGS: Mapping[str, Mapping[str, Field]] = {
    "wait": {
        "duration_ms": Field(rule=_DURATION),
        "until": Field(rule=unless_template(_moment)),
        "event": Field(rule=unless_template(text(200))),
        "match": Field(rule=mapping),
        "since": Field(rule=one_of("execution", "wait")),
        "timeout_ms": Field(rule=_DURATION),
        "on_timeout": Field(rule=one_of("fail", "continue")),
    },
    "approval": {
        "prompt": Field(rule=text(20_000)),
        "form": Field(rule=_form),
        **{name: Field(rule=rule) for name, rule in _PEOPLE.items()},
        "on_reject": Field(rule=one_of("fail", "continue")),
        "timeout_ms": Field(rule=_DURATION),
        "on_timeout": Field(rule=one_of("approve", "reject", "fail", "escalate")),
        "escalate_to": Field(rule=object_of(_ESCALATION, "An escalation")),
        "remind_every_ms": Field(rule=whole_number(1, _YEAR_MS)),
    },
    "orchestration": {
        "orchestration_id": Field(rule=text(100)),
        "orchestration_name": Field(rule=text(200)),
        "version": Field(rule=whole_number(1, _MAX_VERSION)),
        "wait": Field(rule=boolean),
    },
}
