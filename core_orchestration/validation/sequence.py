"""How steps stand together: unique names, and groups in one piece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from core_orchestration.keys import RESERVED_KEYS
from roles.problems import quoted

from .placed import Lists, Placed
from .report import Report

OUTPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def blocks(steps: tuple[Placed, ...]) -> Iterator[list[Placed]]:
    """Cut steps, in the order in which they run, into groups and single steps."""
    ordered = sorted(steps, key=attrgetter("order"))
    for group, run in groupby(ordered, key=attrgetter("group")):
        if group is None:
            yield from ([step] for step in run)
        else:
            yield list(run)


def check_groups(steps: tuple[Placed, ...], report: Report) -> None:
    """Report groups that another step splits, at every depth."""
    seen: set[str] = set()
    for block in blocks(steps):
        group = block[0].group
        if group is not None and group in seen:
            detail = (
                f"The group {quoted(group)} is split by another step; give its steps "
                "neighbouring values of order, or the later ones another group."
            )
            report.add(block[0].at("parallel_group"), "split_group", detail)
        if group is not None:
            seen.add(group)
    for step in steps:
        if step.is_branching:
            _check_groups_of_branches(step, report)
        for body in step.bodies:
            check_groups(body, report)


def _check_groups_of_branches(step: Placed, report: Report) -> None:
    homes: dict[str, str] = {}
    for name, steps in step.branches.items():
        for inner in steps:
            if inner.group and homes.setdefault(inner.group, name) != name:
                detail = (
                    f"The group {quoted(inner.group)} has steps in the branch "
                    f"{quoted(homes[inner.group])} as well; a group stands within one "
                    "branch, and branches need none to run at the same time."
                )
                report.add(inner.at("parallel_group"), "split_group", detail)


def check_names(lists: Lists, report: Report) -> None:
    """Report keys that are not unique, and output names that clash with them."""
    first: dict[str, Placed] = {}
    for step in lists.all():
        other = first.setdefault(step.key, step)
        if other is not step:
            detail = (
                f"The key {quoted(step.key)} is already that of {other.pointer}; "
                "every step needs its own."
            )
            report.add(step.at("key"), "duplicate_key", detail)
    for step in lists.all():
        for name in step.get("output_mapping", ()):
            _check_output_name(name, step, first, report)
    for steps in lists:
        _check_group_outputs(steps, report)


def _check_output_name(
    name: str, step: Placed, keys: Mapping[str, Placed], report: Report
) -> None:
    pointer = step.at("output_mapping", name)
    if not OUTPUT_NAME.fullmatch(name):
        detail = (
            f"{quoted(name)} cannot be a name in the context: use 1 to 64 letters, "
            "digits and _, without a digit in front."
        )
        report.add(pointer, "invalid_name", detail)
    elif name in RESERVED_KEYS:
        detail = f"{quoted(name)} has a meaning of its own; choose another name."
        report.add(pointer, "reserved_key", detail)
    elif name in keys:
        detail = (
            f"context.{name} is the output of the step {keys[name].pointer}; "
            "choose another name."
        )
        report.add(pointer, "duplicate_key", detail)


def _check_group_outputs(steps: tuple[Placed, ...], report: Report) -> None:
    for block in blocks(steps):
        writers: dict[str, Placed] = {}
        for step in block:
            for name in step.get("output_mapping", ()):
                other = writers.setdefault(name, step)
                if other is not step:
                    detail = (
                        f"{other.pointer} of the same group writes {quoted(name)} "
                        "too, and either may be last; choose another name."
                    )
                    report.add(step.at("output_mapping", name), "duplicate_key", detail)
            for body in step.bodies:
                _check_group_outputs(body, report)
