"""The fields of each step type's config, each held to its type and range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core_orchestration.validation.placed import is_branching, step_type_of
from core_orchestration.validation.report import Report
from core_orchestration.validation.shapes import (
    Field,
    Rule,
    check_fields,
    mapping,
    number,
    one_of,
    sequence,
    text,
    whole_number,
)
from roles.problems import Problem, child

from .reasoning import REASONING_CONFIGS
from .rules import object_of, or_template, template
from .waiting import WAITING_CONFIGS

MAX_ITERATIONS = 100_000
_MAX_PARALLEL = 1_000
_MAX_COUNT = 1_000_000_000
_CASE_FIELDS: Mapping[str, Rule] = {"branch": text(64), "condition": mapping}


def _limit(value: Any, pointer: str) -> Iterator[Problem]:
    """Refuse what is too much; whether there is a limit at all is asked later."""
    if isinstance(value, int) and value > MAX_ITERATIONS:
        yield from whole_number(1, MAX_ITERATIONS)(value, pointer)


def _weights(value: Any, pointer: str) -> Iterator[Problem]:
    yield from mapping(value, pointer)
    for name, weight in value.items() if isinstance(value, Mapping) else ():
        at = child(pointer, name)
        faults = list(number(0, _MAX_COUNT)(weight, at))
        yield from faults
        if not faults and not weight:
            detail = "A weight is more than 0; leave out what is never to be drawn."
            yield Problem(at, "out_of_range", detail)


def _cases(value: Any, pointer: str) -> Iterator[Problem]:
    yield from sequence(value, pointer)
    for place, case in enumerate(value if isinstance(value, list) else ()):
        yield from _case(case, child(pointer, place))


def _case(case: Any, pointer: str) -> Iterator[Problem]:
    for name in _CASE_FIELDS if isinstance(case, Mapping) else ():
        if name not in case:
            detail = f"A case has a branch and a condition; {name} is missing."
            yield Problem(pointer, "required", detail)
    yield from object_of(_CASE_FIELDS, "A case")(case, pointer)


CONFIGS: Mapping[str, Mapping[str, Field]] = {
    "loop": {
        "max_iterations": Field(rule=_limit),
        "while": Field(rule=mapping),
        "until": Field(rule=mapping),
        "count": Field(rule=or_template(whole_number(0, _MAX_COUNT), "a whole number")),
        "on_limit": Field(rule=one_of("fail", "continue")),
        "collect": Field(rule=one_of("last", "all")),
    },
    "map": {
        "items": Field(rule=or_template(sequence, "a list")),
        "max_parallel": Field(rule=whole_number(1, _MAX_PARALLEL)),
        "item_errors": Field(rule=one_of("fail", "continue", "drop")),
        "stop_after": Field(rule=whole_number(1, _MAX_COUNT)),
    },
    "branch": {
        "cases": Field(rule=_cases),
        "else": Field(rule=text(64)),
        "mode": Field(rule=one_of("first", "all")),
        "weights": Field(rule=_weights),
        "sticky": Field(rule=template),
    },
    "parallel": {
        "join": Field(rule=one_of("all", "any", "n_of_m")),
        "n": Field(rule=whole_number(1, _MAX_COUNT)),
        "max_parallel": Field(rule=whole_number(1, _MAX_PARALLEL)),
    },
    "break": {},
    "stop": {
        "status": Field(rule=one_of("completed", "failed")),
        "message": Field(rule=text(20_000)),
        "output": Field(rule=template),
    },
    **WAITING_CONFIGS,
    **REASONING_CONFIGS,
}


def sound_settings(
    sent: Mapping[str, Any], sound: frozenset[str], pointer: str, report: Report
) -> Mapping[str, Any]:
    """Report a config's unknown and faulty fields; return the sound ones."""
    kind = step_type_of(sent, sound)
    free = kind == "parallel" and not is_branching(sent, kind)
    fields = None if free else CONFIGS.get(kind)
    if fields is None or "config" not in sound:
        return {}
    config = sent["config"]
    names = check_fields(config, child(pointer, "config"), fields, frozenset(), report)
    return {name: value for name, value in config.items() if name in names}
