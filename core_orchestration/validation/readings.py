"""The templates and conditions of a step, each with the place where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from core_orchestration.language import Reading, read_condition, read_template

from .placed import Placed
from .scopes import ROOTS_WITHIN, Place, Timetable

Found = Iterator[tuple[str, Reading, Place]]

_TEMPLATES = ("items", "count", "sticky", "message", "output")


def readings(step: Placed, place: Place, table: Timetable) -> Found:
    """Yield all that a step, which stands here, has to read, with its pointer."""
    yield from _of_fields(step, place)
    yield from _of_config(step, place, table)


def _of_fields(step: Placed, before: Place) -> Found:
    after = replace(before, has_output=True)
    for name, place in (("input_mapping", before), ("output_mapping", after)):
        value = step.get(name)
        if value is not None:
            yield step.at(name), read_template(value), place
    condition = step.get("condition")
    if condition is not None:
        yield step.at("condition"), read_condition(condition), before


def _of_config(step: Placed, place: Place, table: Timetable) -> Found:
    settings = step.settings
    for name in _TEMPLATES:
        if name in settings:
            yield step.at("config", name), read_template(settings[name]), place
    if "while" in settings:
        turn = replace(place, roots=place.roots | ROOTS_WITHIN["loop"])
        yield step.at("config", "while"), read_condition(settings["while"]), turn
    if "until" in settings:
        end = table.turn_end(place)
        yield step.at("config", "until"), read_condition(settings["until"]), end
    for number, case in enumerate(settings.get("cases", ())):
        at = step.at("config", "cases", number, "condition")
        yield at, read_condition(case["condition"]), place
