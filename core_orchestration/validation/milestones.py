"""Milestones: the step that another one may not begin after."""

from __future__ import annotations

from collections.abc import Mapping

from roles.problems import quoted

from .placed import Lists, Placed
from .report import Report


def check_milestones(lists: Lists, report: Report) -> None:
    """Report milestones that are no step, or that have always begun by then."""
    known = {step.key: step for step in lists.all()}
    for steps in lists:
        _check(steps, (), known, report)


def _check(
    steps: tuple[Placed, ...],
    holders: tuple[str, ...],
    known: Mapping[str, Placed],
    report: Report,
) -> None:
    for step in steps:
        around = (*holders, step.key)
        milestone = step.get("milestone")
        if milestone is not None and milestone not in known:
            hint = report.suggest(milestone, known)
            detail = f"No step has the key {quoted(milestone)}.{hint}"
            report.add(step.at("milestone"), "unknown_step", detail)
        elif milestone in around:
            report.add(step.at("milestone"), "self_reference", _begun(milestone, step))
        _check(step.body, around, known, report)


def _begun(milestone: str, step: Placed) -> str:
    if milestone == step.key:
        return "A step cannot be its own milestone; name another step."
    return (
        f"The step {quoted(milestone)} holds this one, so it has always begun by "
        "then; name a step that may begin later."
    )
