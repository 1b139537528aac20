"""What an orchestration allows its executions, within what the installation does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roles.problems import Problem, child

from .report import Report
from .shapes import Field, Rule, check_fields, whole_number

# What an installation allows unless it says otherwise.
CEILINGS: Mapping[str, int] = {
    "max_steps": 100_000,
    "max_fan_out": 10_000,
    "max_depth": 20,
    "max_iterations": 100_000,
    "max_context_bytes": 50 * 1024 * 1024,
}
_MOST = 2**63 - 1
_RULE: Rule = whole_number(1, _MOST)
_FIELDS = {name: Field(rule=_RULE) for name in CEILINGS}


def check_limits(
    limits: Mapping[str, Any], ceilings: Mapping[str, int], report: Report
) -> None:
    """Report unknown limits, those that are no positive number, and excessive ones."""
    sound = check_fields(limits, "/limits", _FIELDS, frozenset(), report)
    for name in sorted(sound):
        ceiling = ceilings.get(name, CEILINGS[name])
        if limits[name] > ceiling:
            report.extend([_above(name, ceiling)])


def _above(name: str, ceiling: int) -> Problem:
    detail = (
        f"This installation allows {ceiling:,} at most; lower it, or leave it out to "
        "have as much as that."
    )
    return Problem(child("/limits", name), "above_limit", detail)
