"""What a step may be where it stands: branches in one piece, breaks inside loops."""

from __future__ import annotations

from itertools import groupby, takewhile
from operator import attrgetter

from roles.problems import quoted

from .placed import Placed
from .report import Report


def check_bodies(
    steps: tuple[Placed, ...], report: Report, holders: tuple[Placed, ...] = ()
) -> None:
    """Report steps that do not belong where they are, at every depth."""
    if holders and holders[-1].is_branching:
        _check_branches(steps, report)
    else:
        _refuse_branches(steps, report)
    for step in steps:
        if step.step_type == "break":
            _check_break(step, holders, report)
        check_bodies(step.body, report, (*holders, step))


def _refuse_branches(steps: tuple[Placed, ...], report: Report) -> None:
    for step in steps:
        if step.branch is not None:
            detail = (
                "Only the steps right inside a branch step, or inside a parallel step "
                "that has steps, belong to a branch; leave it out."
            )
            report.add(step.at("branch"), "unexpected_branch", detail)


def _check_branches(steps: tuple[Placed, ...], report: Report) -> None:
    alone = {step.key: step for step in steps if step.branch is None}
    for step in steps:
        if step.branch in alone:
            detail = (
                f"The step {alone[step.branch].pointer} is a branch by itself, of the "
                f"name {quoted(step.branch)}; choose another name, or give that step "
                "the same branch."
            )
            report.add(step.at("branch"), "duplicate_branch", detail)
    _check_neighbours(steps, report)


def _check_neighbours(steps: tuple[Placed, ...], report: Report) -> None:
    seen: set[str] = set()
    ordered = sorted(steps, key=attrgetter("order"))
    for name, run in groupby(ordered, key=attrgetter("branch")):
        if name is not None and name in seen:
            detail = (
                f"The branch {quoted(name)} is split by another step; give its steps "
                "neighbouring values of order, or the later ones another branch."
            )
            report.add(next(run).at("branch"), "split_branch", detail)
        seen.add(name)


def _check_break(step: Placed, holders: tuple[Placed, ...], report: Report) -> None:
    kinds = [holder.step_type for holder in reversed(holders)]
    between = list(takewhile(lambda kind: kind not in {"loop", "map"}, kinds))
    if "loop" not in kinds or kinds[len(between)] == "map":
        detail = (
            "A break cannot leave a map; move it into the loop that it is to end, "
            "outside the map."
            if "loop" in kinds
            else "A break ends the loop that it stands in, and this one is in none."
        )
        report.add(step.pointer, "misplaced_break", detail)
    elif "branch" not in between and step.sent.get("condition") is None:
        detail = (
            "Without a condition this break would end the loop's first turn, always; "
            "give it a condition, or move it into a branch step."
        )
        report.add(step.pointer, "missing_condition", detail)
