"""How a step of the type `branch` chooses: by cases or by weights, and among what."""

from __future__ import annotations

from collections.abc import Iterator

from core_orchestration.validation.placed import Placed
from core_orchestration.validation.report import Report
from roles.problems import listing, quoted

_ONLY_WITH = {"mode": "cases", "else": "cases", "sticky": "weights"}


def check_choice(step: Placed, report: Report) -> None:
    """Report what keeps the branches from being chosen as the config says."""
    _check_ways(step, report)
    for name, needed in _ONLY_WITH.items():
        if name in step.config and _lacks(step, needed):
            detail = f"{name} has a meaning only with {needed}; leave it out."
            report.add(step.at("config", name), "unexpected_field", detail)
    if step.body and _all_exist(step, report):
        _check_reach(step, report)


def _lacks(step: Placed, needed: str) -> bool:
    """Tell whether a way to choose is absent, and not just still to be written."""
    other = "weights" if needed == "cases" else "cases"
    return needed not in step.config and other in step.config


def _check_ways(step: Placed, report: Report) -> None:
    config = step.config
    if "cases" not in config and "weights" not in config:
        detail = (
            "A branch step needs cases in its config, a list of "
            '{"branch": ..., "condition": ...}, or weights in their place.'
        )
        report.add(step.at("config"), "no_cases", detail)
    elif "cases" in config and "weights" in config:
        detail = "Branches are chosen by cases or by weights; leave out one of them."
        report.add(step.at("config", "weights"), "conflicting_fields", detail)
    elif step.settings.get("cases") == []:
        detail = 'There must be at least one case, {"branch": ..., "condition": ...}.'
        report.add(step.at("config", "cases"), "no_cases", detail)
    elif step.settings.get("weights") == {}:
        detail = "There must be at least one branch with a weight."
        report.add(step.at("config", "weights"), "no_weights", detail)


def _all_exist(step: Placed, report: Report) -> bool:
    """Report names of branches that are not there; tell whether all are."""
    branches = step.branches
    unknown = [each for each in _named(step) if each[1] not in branches]
    for pointer, name in unknown:
        hint = report.suggest(name, branches)
        detail = (
            f"There is no branch {quoted(name)}.{hint} "
            f"The branches are {listing(branches)}."
        )
        report.add(pointer, "unknown_branch", detail)
    return not unknown


def _named(step: Placed) -> Iterator[tuple[str, str]]:
    """Yield the branches that the config names, each with its place."""
    for place, case in enumerate(step.settings.get("cases", ())):
        yield step.at("config", "cases", place, "branch"), case["branch"]
    if "else" in step.settings:
        yield step.at("config", "else"), step.settings["else"]
    for name in step.settings.get("weights", ()):
        yield step.at("config", "weights", name), name


def _check_reach(step: Placed, report: Report) -> None:
    settings = step.settings
    if not (settings.get("cases") or settings.get("weights")):
        return
    if "else" in step.config and "else" not in settings:
        return
    named = {name for _, name in _named(step)}
    for name, (first, *_) in step.branches.items():
        if name not in named:
            detail = (
                f"The branch {quoted(name)} is never chosen: no case and no weight "
                "names it, and it is not else; name it, or remove it."
            )
            report.add(first.pointer, "unreachable_branch", detail)
