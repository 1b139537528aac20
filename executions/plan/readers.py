"""What the engine itself renders and decides of a step's `config`, parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core_orchestration.definition import RECKONING_TYPE, Step
from core_orchestration.language import Condition, Template

Reader = Template | Condition

UNTIL = "until"  # of a loop: decided where a turn has ended, and not before
# Who is asked next is asked for a time of their own.
ESCALATION_TIME = "escalate_to.timeout_ms"
# Fields of `config` by step type; those inside of others by both their names.
_CONDITIONS: Mapping[str, Sequence[str]] = {
    "loop": ("while", UNTIL),
    "wait": ("match",),
}
_TEMPLATES: Mapping[str, Sequence[str]] = {
    "approval": ("prompt", "timeout_ms", ESCALATION_TIME),
    "branch": ("sticky",),
    "loop": ("count",),
    "map": ("items",),
    RECKONING_TYPE: ("arguments",),
    "stop": ("message", "output"),
    "wait": ("duration_ms", "event", "timeout_ms", "until"),
}


def templates_of(step: Step) -> Mapping[str, Template]:
    """Parse the templates of a step that has no role, by the names of their fields."""
    names = () if step.has_role else _TEMPLATES.get(step.step_type, ())
    given = ((name, _field(step.config, name)) for name in names)
    return {name: Template.parse(each) for name, each in given if each is not None}


def _field(config: Mapping[str, Any], name: str) -> Any:
    *around, last = name.split(".")
    for outer in around:
        config = config.get(outer) or {}
    return config.get(last)


def conditions_of(step: Step) -> Mapping[str, Condition]:
    """Parse the conditions likewise; that of a case is called `case:<place>`."""
    return {} if step.has_role else dict(_conditions(step))


def _conditions(step: Step) -> Iterator[tuple[str, Condition]]:
    for name in _CONDITIONS.get(step.step_type, ()):
        if step.config.get(name) is not None:
            yield name, Condition.parse(step.config[name])
    for place, case in enumerate(step.config.get("cases") or ()):
        yield case_name(place), Condition.parse(case["condition"])


def case_name(place: int) -> str:
    return f"case:{place}"
