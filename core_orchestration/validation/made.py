"""The keys of the steps that patterns are made of, among those that were sent."""

from __future__ import annotations

from core_orchestration.definition import Step
from core_orchestration.reasoning import made_keys
from roles.problems import quoted

from .configs import is_whole
from .placed import Lists, Placed
from .report import Report


def check_made_keys(lists: Lists, report: Report) -> None:
    """Report patterns whose steps would have names that others have already."""
    taken = _taken(lists)
    for step in lists.all():
        if not is_whole(step):
            continue
        keys = made_keys(_parsed(step))
        if clashes := [key for key in keys if key in taken]:
            detail = (
                f"This {step.step_type} makes a step with the key "
                f"{quoted(clashes[0])}, which is taken by {taken[clashes[0]]}; choose "
                "another key for one of them."
            )
            report.add(step.at("key"), "duplicate_key", detail)
        taken.update(dict.fromkeys(keys, f"what {step.pointer} makes"))


def _taken(lists: Lists) -> dict[str, str]:
    """Map the names of the context to who has them."""
    taken = {}
    for step in lists.all():
        for name in step.get("output_mapping", ()):
            taken[name] = f"the output_mapping of {step.pointer}"
    return taken | {step.key: f"the step {step.pointer}" for step in lists.all()}


def _parsed(step: Placed) -> Step:
    return Step(
        key=step.key,
        name=step.key,
        step_type=step.step_type,
        input_mapping=step.get("input_mapping"),
        config=step.settings,
    )
