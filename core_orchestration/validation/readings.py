"""The templates and conditions of a step, each with the place where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from core_orchestration.language import Reading, read_condition, read_template

from .placed import Placed
from .scopes import ROOTS_WITHIN, Place, Timetable

Found = Iterator[tuple[str, Reading, Place]]

_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "loop": ("count",),
    "map": ("items",),
    "map_reduce": ("items",),
    "branch": ("sticky",),
    "stop": ("message", "output"),
    "wait": ("duration_ms", "until", "event", "timeout_ms"),
    "approval": ("prompt", "timeout_ms"),
}


def readings(step: Placed, place: Place, table: Timetable) -> Found:
    """Yield all that a step, which stands here, has to read, with its pointer."""
    yield from _of_fields(step, place)
    yield from _of_templates(step, place)
    yield from _of_conditions(step, place, table)


def _of_fields(step: Placed, before: Place) -> Found:
    after = replace(before, has_output=True)
    for name, place in (("input_mapping", before), ("output_mapping", after)):
        value = step.get(name)
        if value is not None:
            yield step.at(name), read_template(value), place
    condition = step.get("condition")
    if condition is not None:
        yield step.at("condition"), read_condition(condition), before
    undoing = step.undoing and step.undoing.get("input_mapping")
    if undoing is not None:
        at = step.at("compensate", "input_mapping")
        yield at, read_template(undoing), before.after_step()


def _of_templates(step: Placed, place: Place) -> Found:
    for name in _TEMPLATES.get(step.step_type, ()):
        if name in step.settings:
            yield step.at("config", name), read_template(step.settings[name]), place
    escalation = step.settings.get("escalate_to", {})
    if "timeout_ms" in escalation:
        at = step.at("config", "escalate_to", "timeout_ms")
        yield at, read_template(escalation["timeout_ms"]), place


def _of_conditions(step: Placed, place: Place, table: Timetable) -> Found:
    settings = step.settings
    if "while" in settings:
        turn = replace(place, roots=place.roots | ROOTS_WITHIN["loop"])
        yield step.at("config", "while"), read_condition(settings["while"]), turn
    if "until" in settings and step.step_type == "loop":
        end = table.turn_end(place)
        yield step.at("config", "until"), read_condition(settings["until"]), end
    if "accept" in settings:
        turn = replace(place, has_output=True, roots=place.roots | ROOTS_WITHIN["loop"])
        yield step.at("config", "accept"), read_condition(settings["accept"]), turn
    if "match" in settings:
        event = replace(place, roots=place.roots | {"event"})
        yield step.at("config", "match"), read_condition(settings["match"]), event
    for number, case in enumerate(settings.get("cases", ())):
        at = step.at("config", "cases", number, "condition")
        yield at, read_condition(case["condition"]), place
