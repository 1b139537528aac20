"""What the fields of a config say against each other and about the step's body."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core_orchestration.definition import REASONING_TYPES
from core_orchestration.validation.placed import Placed
from core_orchestration.validation.report import Report
from roles.problems import kind_of

from .branching import check_choice
from .patience import check_approval, check_child, check_wait
from .reasoning import check_pattern

_ENDS = ("while", "until", "count")


def check_config(step: Placed, report: Report) -> None:
    """Report what is missing in the config of a step, or does not fit together."""
    check = _CHECKS.get(step.step_type)
    if check is not None and (step.step_type != "parallel" or step.is_branching):
        check(step, report)


def _check_loop(step: Placed, report: Report) -> None:
    limit = step.config.get("max_iterations")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        now = limit if isinstance(limit, int) else kind_of(limit)
        detail = (
            "A loop needs an end: set max_iterations in its config to a whole number "
            f"of at least 1; it is {now} now."
        )
        report.add(step.at("config"), "loop_without_limit", detail)
    first, *others = [name for name in step.config if name in _ENDS] or [""]
    for name in others:
        detail = (
            f"A loop ends by one of while, until and count, and this one has {first} "
            "already; keep one of them."
        )
        report.add(step.at("config", name), "conflicting_fields", detail)


def _check_map(step: Placed, report: Report) -> None:
    if "items" not in step.config:
        detail = (
            "A map needs to know what to run its body for: set items in its config "
            "to a list, or to a template that gives one."
        )
        report.add(step.at("config"), "required", detail)


def _check_join(step: Placed, report: Report) -> None:
    by_number = step.settings.get("join") == "n_of_m"
    if by_number and "n" not in step.config:
        detail = "A join of n_of_m needs n, the number of branches to wait for."
        report.add(step.at("config"), "required", detail)
    if "n" in step.config and not by_number:
        detail = 'n has a meaning only with "join": "n_of_m"; leave it out.'
        report.add(step.at("config", "n"), "unexpected_field", detail)
        return
    wanted, there = step.settings.get("n", 0), len(step.branches)
    if step.body and wanted > there:
        detail = f"There are {there:,} branches, which can never make {wanted:,}."
        report.add(step.at("config", "n"), "out_of_range", detail)


def _check_stop(step: Placed, report: Report) -> None:
    if "status" in step.config and "status" not in step.settings:
        return
    status = step.settings.get("status", "completed")
    for name, fitting in (("message", "failed"), ("output", "completed")):
        if name in step.config and status != fitting:
            detail = (
                f"{name} has a meaning only with the status {fitting}, and the status "
                f"is {status}; leave it out, or change the status."
            )
            report.add(step.at("config", name), "unexpected_field", detail)


_CHECKS: Mapping[str, Callable[[Placed, Report], None]] = {
    "loop": _check_loop,
    "map": _check_map,
    "branch": check_choice,
    "parallel": _check_join,
    "stop": _check_stop,
    "wait": check_wait,
    "approval": check_approval,
    "orchestration": check_child,
    **dict.fromkeys(REASONING_TYPES, check_pattern),
}
