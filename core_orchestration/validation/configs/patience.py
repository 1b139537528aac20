"""What the fields of those configs that wait say against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.validation.placed import Placed
from core_orchestration.validation.report import Report
from roles.problems import listing

_WAYS = ("duration_ms", "until", "event")
_OF_EVENTS = ("match", "since", "timeout_ms", "on_timeout")
_PEOPLE = ("users", "groups", "permission")


def check_wait(step: Placed, report: Report) -> None:
    """Report a wait for nothing or for more than one thing, and idle fields."""
    _exactly_one(step, _WAYS, "A wait needs to know what to wait for", report)
    named = [name for name in _WAYS if name in step.config]
    if named and "event" not in named:
        for name in _OF_EVENTS:
            if name in step.config:
                _refuse(step.at("config", name), name, "event", report)
    elif named:
        _check_time_limit(step.config, step.at("config"), report)


def check_approval(step: Placed, report: Report) -> None:
    """Report what nobody could come to: ends without a time, and nobody to ask."""
    config = step.config
    _check_time_limit(config, step.at("config"), report)
    escalates = step.settings.get("on_timeout") == "escalate"
    sound = "on_timeout" in step.settings or "on_timeout" not in config
    if escalates and "escalate_to" not in config:
        detail = (
            'With "on_timeout": "escalate" it must be said who is asked then: set '
            'escalate_to, such as {"groups": ["managers"]}.'
        )
        report.add(step.at("config"), "required", detail)
    if sound and not escalates and "escalate_to" in config:
        with_what = '"on_timeout": "escalate"'
        _refuse(step.at("config", "escalate_to"), "escalate_to", with_what, report)
    if "escalate_to" in step.settings:
        _check_escalation(step, step.settings["escalate_to"], report)


def _check_escalation(
    step: Placed, escalation: Mapping[str, Any], report: Report
) -> None:
    at = step.at("config", "escalate_to")
    _check_time_limit(escalation, at, report)
    if not any(name in escalation for name in _PEOPLE):
        detail = f"This must name who is asked: set one of {listing(_PEOPLE)}."
        report.add(at, "required", detail)


def check_child(step: Placed, report: Report) -> None:
    """Report a step that names no orchestration, or two."""
    ways = ("orchestration_name", "orchestration_id")
    _exactly_one(step, ways, "The step needs to know what to run", report)


def _exactly_one(
    step: Placed, names: tuple[str, ...], need: str, report: Report
) -> None:
    first, *others = [name for name in names if name in step.config] or [""]
    if not first:
        detail = f"{need}: set one of {listing(names)} in its config."
        report.add(step.at("config"), "required", detail)
    for name in others:
        detail = f"{first} says so already; keep one of {listing(names)}."
        report.add(step.at("config", name), "conflicting_fields", detail)


def _check_time_limit(config: Mapping[str, Any], pointer: str, report: Report) -> None:
    if "on_timeout" in config and "timeout_ms" not in config:
        _refuse(f"{pointer}/on_timeout", "on_timeout", "timeout_ms", report)


def _refuse(pointer: str, name: str, needed: str, report: Report) -> None:
    detail = f"{name} has a meaning only with {needed}; leave it out."
    report.add(pointer, "unexpected_field", detail)
