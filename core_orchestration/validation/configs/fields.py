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
from roles.problems import Problem, child, did_you_mean, kind_of, quoted

MAX_ITERATIONS = 100_000
_MAX_PARALLEL = 1_000
_MAX_COUNT = 1_000_000_000
_CASE_FIELDS = ("branch", "condition")


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _or_template(rule: Rule, wanted: str) -> Rule:
    """Let a text with a placeholder stand for what the rule wants."""

    def either(value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, str) and not _is_template(value):
            detail = (
                f"This must be {wanted}, or a template with a placeholder in "
                f"{{{{ }}}} that gives one, not the text {quoted(value)}."
            )
            yield Problem(pointer, "wrong_type", detail)
        elif not isinstance(value, str):
            yield from rule(value, pointer)

    return either


def _template(value: Any, pointer: str) -> Iterator[Problem]:
    if value is None:
        detail = "This must be a template, not null; leave it out to have none."
        yield Problem(pointer, "wrong_type", detail)


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
    if not isinstance(case, Mapping):
        detail = f"A case is an object, not {kind_of(case)}."
        yield Problem(pointer, "wrong_type", detail)
        return
    for name in _CASE_FIELDS:
        if name not in case:
            detail = f"A case has a branch and a condition; {name} is missing."
            yield Problem(pointer, "required", detail)
    for name, value in case.items():
        yield from _case_field(name, value, child(pointer, name))


def _case_field(name: str, value: Any, pointer: str) -> Iterator[Problem]:
    if name == "branch":
        yield from text(64)(value, pointer)
    elif name == "condition":
        yield from mapping(value, pointer)
    else:
        hint = did_you_mean(name, _CASE_FIELDS)
        detail = f"There is no field {quoted(name)} in a case.{hint}"
        yield Problem(pointer, "unknown_field", detail)


CONFIGS: Mapping[str, Mapping[str, Field]] = {
    "loop": {
        "max_iterations": Field(rule=_limit),
        "while": Field(rule=mapping),
        "until": Field(rule=mapping),
        "count": Field(
            rule=_or_template(whole_number(0, _MAX_COUNT), "a whole number")
        ),
        "on_limit": Field(rule=one_of("fail", "continue")),
        "collect": Field(rule=one_of("last", "all")),
    },
    "map": {
        "items": Field(rule=_or_template(sequence, "a list")),
        "max_parallel": Field(rule=whole_number(1, _MAX_PARALLEL)),
        "item_errors": Field(rule=one_of("fail", "continue", "drop")),
        "stop_after": Field(rule=whole_number(1, _MAX_COUNT)),
    },
    "branch": {
        "cases": Field(rule=_cases),
        "else": Field(rule=text(64)),
        "mode": Field(rule=one_of("first", "all")),
        "weights": Field(rule=_weights),
        "sticky": Field(rule=_template),
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
        "output": Field(rule=_template),
    },
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
