"""The configs of the reasoning patterns: their roles, and how often they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core_orchestration.validation.placed import Placed
from core_orchestration.validation.report import Report
from core_orchestration.validation.shapes import (
    Field,
    Rule,
    mapping,
    name_like,
    number,
    one_of,
    sequence,
    text,
    whole_number,
)
from roles.problems import Problem, kind_of

from .rules import object_of, or_template

_MOST_CALLS = 1_000
_MOST_THOUGHTS = 100
_HIGHEST = 1e15
_NAMES: Mapping[str, Rule] = {"role_id": text(100), "role_name": text(200)}
_FIELD = re.compile(r"(?=.{1,200}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _role(value: Any, pointer: str) -> Iterator[Problem]:
    if isinstance(value, str):
        yield from text(200)(value, pointer)
    elif isinstance(value, Mapping):
        yield from object_of(_NAMES, "A role")(value, pointer)
    else:
        detail = (
            'This must be a role, as its name or as {"role_id": ...} or '
            f'{{"role_name": ...}}, not {kind_of(value)}.'
        )
        yield Problem(pointer, "wrong_type", detail)


_ROLE = Field(rule=_role)
_PLACE = Field(rule=name_like(_FIELD, "the name of a field, or several joined by dots"))
_CALLS = Field(rule=whole_number(1, _MOST_CALLS))
_THOUGHTS = Field(rule=whole_number(1, _MOST_THOUGHTS))
_SCORE = Field(rule=number(-_HIGHEST, _HIGHEST))

REASONING_CONFIGS: Mapping[str, Mapping[str, Field]] = {
    "planner_executor_reviewer": {
        "planner": _ROLE,
        "executor": _ROLE,
        "reviewer": _ROLE,
        "max_revisions": Field(rule=whole_number(0, _MOST_CALLS)),
        "accept": Field(rule=mapping),
        "on_limit": Field(rule=one_of("fail", "continue")),
    },
    "map_reduce": {
        "items": Field(rule=or_template(sequence, "a list")),
        "mapper": _ROLE,
        "reducer": _ROLE,
        "max_parallel": _CALLS,
        "item_errors": Field(rule=one_of("fail", "continue", "drop")),
    },
    "tree_of_thoughts": {
        "generator": _ROLE,
        "scorer": _ROLE,
        "breadth": _THOUGHTS,
        "depth": _THOUGHTS,
        "beam": _THOUGHTS,
        "threshold": _SCORE,
    },
    "debate": {
        "creator": _ROLE,
        "critic": _ROLE,
        "score": _PLACE,
        "threshold": _SCORE,
        "max_rounds": _CALLS,
        "judge": _ROLE,
    },
    "vote": {
        "voter": _ROLE,
        "samples": _CALLS,
        "field": _PLACE,
        "quorum": _CALLS,
        "tie_break": Field(rule=one_of("first", "fail", "role")),
        "tie_breaker": _ROLE,
    },
}
_A_ROLE = "a role, by its name"
# What each pattern cannot do without, and what is to be set there.
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "planner_executor_reviewer": {
        **dict.fromkeys(("planner", "executor", "reviewer"), _A_ROLE),
        "accept": "a condition on output, which is the reviewer's",
    },
    "map_reduce": {
        "items": "a list, or a template that gives one",
        **dict.fromkeys(("mapper", "reducer"), _A_ROLE),
    },
    "tree_of_thoughts": {
        **dict.fromkeys(("generator", "scorer"), _A_ROLE),
        "breadth": "how many thoughts each one leads to",
        "depth": "how many rounds there are",
        "beam": "how many thoughts are kept after each round",
    },
    "debate": {
        **dict.fromkeys(("creator", "critic"), _A_ROLE),
        "threshold": "the score that ends it",
        "max_rounds": "how many rounds there are at most",
    },
    "vote": {"voter": _A_ROLE, "samples": "how many votes there are"},
}


def check_pattern(step: Placed, report: Report) -> None:
    """Report what a pattern lacks, and what its fields say against each other."""
    for name, what in _NEEDED[step.step_type].items():
        if name not in step.config:
            detail = (
                f"A step of the type {step.step_type} needs {name} in its config: "
                f"{what}."
            )
            report.add(step.at("config"), "required", detail)
    if step.step_type == "vote":
        _check_vote(step, report)


def _check_vote(step: Placed, report: Report) -> None:
    quorum, samples = step.settings.get("quorum", 0), step.settings.get("samples")
    if samples is not None and quorum > samples:
        detail = f"There are {samples:,} samples, which can never make {quorum:,}."
        report.add(step.at("config", "quorum"), "out_of_range", detail)
    by_role = step.settings.get("tie_break") == "role"
    if by_role and "tie_breaker" not in step.config:
        detail = f'With "tie_break": "role" set tie_breaker in the config: {_A_ROLE}.'
        report.add(step.at("config"), "required", detail)
    sound = "tie_break" in step.settings or "tie_break" not in step.config
    if sound and not by_role and "tie_breaker" in step.config:
        detail = (
            'tie_breaker has a meaning only with "tie_break": "role"; leave it out.'
        )
        report.add(step.at("config", "tie_breaker"), "unexpected_field", detail)


def is_whole(step: Placed) -> bool:
    """Tell whether a step is a pattern with all that it takes to expand it."""
    needed = set(_NEEDED.get(step.step_type, ()))
    if step.settings.get("tie_break") == "role":
        needed.add("tie_breaker")
    return bool(needed) and needed <= step.settings.keys()
