"""The control verbs in the admin: what a state allows, and what a button asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms

from executions import attention, bulk, copies, pinned
from executions.models import Execution
from executions.plan import Plan
from executions.states import (
    ACTIVE_EXECUTION,
    TERMINAL_EXECUTION,
    TERMINAL_STEP,
    ExecutionStatus,
    StepStatus,
)
from roles.admin.readable import ReadableJSONField

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SHOWN_ATTENTION = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A verb in words; `done` completes "The execution ..."."""

    verb: str
    label: str
    states: frozenset[ExecutionStatus]
    done: str
    question: str = ""  # asked before it is done


BUTTONS = (
    Button(
        verb="cancel",
        label="Cancel",
        states=ACTIVE_EXECUTION,
        done="is asked to end; what runs gets some seconds to stop.",
    ),
    Button(
        verb="terminate",
        label="Terminate",
        states=ACTIVE_EXECUTION,
        done="is ended.",
        question="End at once, whatever runs? Work that is under way is lost.",
    ),
    Button(
        verb="pause",
        label="Pause",
        states=ACTIVE_EXECUTION - {ExecutionStatus.PAUSED},
        done="is paused; what runs comes to its end.",
    ),
    Button(
        verb="resume",
        label="Resume",
        states=frozenset({ExecutionStatus.PAUSED}),
        done="goes on.",
    ),
    Button(
        verb="retry",
        label="Retry",
        states=TERMINAL_EXECUTION - {ExecutionStatus.COMPLETED},
        done="goes on from what failed.",
    ),
    Button(
        verb="rerun",
        label="Run again",
        states=frozenset(ExecutionStatus),
        done="was started anew.",
    ),
)
BY_VERB: Mapping[str, Button] = {button.verb: button for button in BUTTONS}
DECISIONS = (
    ("complete", "Complete with this output"),
    ("fail", "Fail"),
    ("run_again", "Run again"),
)


class ReasonForm(forms.Form):
    """What every verb may be given."""

    reason = forms.CharField(required=False, max_length=1000)


class ForkForm(ReasonForm):
    from_step = forms.CharField()


class SettleForm(ReasonForm):
    """What becomes of a step that needs attention."""

    path = forms.CharField()
    action = forms.ChoiceField(choices=DECISIONS)
    output = ReadableJSONField(required=False)


FORMS: Mapping[str, type[ReasonForm]] = {
    **dict.fromkeys(BY_VERB, ReasonForm),
    "fork": ForkForm,
    "settle": SettleForm,
}


def carry_out(
    verb: str, execution: Execution, given: Mapping[str, Any], by: User
) -> Execution | bool:
    """
    Do what a form asks for; return the copy, or whether anything was changed.

    Raises one of `bulk.REFUSALS`.
    """
    if act := _SPECIAL.get(verb):
        return act(execution, given, by)
    change = bulk.CONTROLS[verb]
    return change(
        execution.pk, by=by.get_username(), reason=given.get("reason") or None
    )


def _rerun(execution: Execution, given: Mapping[str, Any], by: User) -> Execution:
    return copies.rerun(execution, by=by)


def _fork(execution: Execution, given: Mapping[str, Any], by: User) -> Execution:
    return copies.fork(execution, from_step=given["from_step"], by=by)


def _settle(execution: Execution, given: Mapping[str, Any], by: User) -> bool:
    return attention.settle_step(
        execution.pk,
        given["path"],
        by=by.get_username(),
        action=given["action"],
        output=given["output"] if given["action"] == "complete" else None,
        reason=given["reason"] or None,
    )


_SPECIAL: Mapping[str, Callable[[Execution, Any, User], Execution | bool]] = {
    "rerun": _rerun,
    "fork": _fork,
    "settle": _settle,
}


def offered(execution: Execution, logs: list[dict[str, Any]]) -> dict[str, Any]:
    """Gather what the page offers for an execution as it is now."""
    waiting = [log for log in logs if log["status"] == StepStatus.NEEDS_ATTENTION]
    plan = pinned.plan(str(execution.version_id))
    return {
        "buttons": [
            button
            for button in BUTTONS
            if execution.status in button.states
            and not _is_under_way(button, execution)
        ],
        "steps": list(_reached(plan, {log["path"]: log["status"] for log in logs})),
        "attention": waiting[:SHOWN_ATTENTION],
        "actions": DECISIONS,
    }


def _is_under_way(button: Button, execution: Execution) -> bool:
    """Leave out what an execution that was cancelled does not do any more."""
    return button.verb in ("cancel", "pause") and execution.cancel_request is not None


def _reached(plan: Plan, statuses: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name the steps before which everything is finished, by key and name."""
    for block in plan.blocks:
        members = plan.of_block(block)
        for planned in members:
            yield planned.step.key, planned.step.name
        if not all(_is_over(statuses.get(each.path), each.step) for each in members):
            return


def _is_over(status: str | None, step: Any) -> bool:
    if status in (StepStatus.COMPLETED, StepStatus.SKIPPED):
        return True
    return status in TERMINAL_STEP and step.on_error == "continue"
