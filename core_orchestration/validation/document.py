"""A whole orchestration's document: every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from core_orchestration.definition import step_keys, walk
from roles.problems import Problem, child, kind_of
from roles.schemas import schema_problems
from roles.storable import MAX_DEPTH, storable_problems

from .bodies import check_bodies
from .configs import check_config, sound_settings
from .directory import RoleDirectory
from .placed import Placed, flattened
from .references import check_references
from .report import Report
from .sequence import check_groups, check_names
from .shapes import (
    Field,
    anything,
    boolean,
    check_fields,
    mapping,
    sequence,
    text,
    texts,
    whole_number,
)
from .steps import SUPPORTED, check_shape, check_step

MAX_STEPS = 10_000
MAX_STEP_DEPTH = 20
_YEAR_MS = 365 * 24 * 60 * 60 * 1000
_DEEPEST = 2 * MAX_STEP_DEPTH + MAX_DEPTH + 3

FIELDS: Mapping[str, Field] = {
    "name": Field(rule=text(200)),
    "description": Field(rule=text(10_000, blank=True)),
    "tags": Field(rule=texts(50, 100)),
    "is_active": Field(rule=boolean),
    "input_schema": Field(rule=mapping, nullable=True),
    "timeout_ms": Field(rule=whole_number(1, _YEAR_MS), nullable=True),
    "output": Field(rule=anything, nullable=True),
    "steps": Field(rule=sequence),
}
READ_ONLY = frozenset({"id", "version", "created_at", "updated_at", "created_by"})
_FREE_FORM = ("condition", "input_mapping", "output_mapping", "config")


def validate(
    document: Any,
    roles: RoleDirectory,
    *,
    step_types: Collection[str] = SUPPORTED,
    max_steps: int = MAX_STEPS,
) -> list[Problem]:
    """
    List every problem of an orchestration as a client sent it, at most 1,000.

    Pointers count steps as sent, whatever their `order`. An empty list means that
    `definition.parse` reads the document and its steps can run.
    """
    if not isinstance(document, Mapping):
        detail = f"An orchestration is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    unstorable = storable_problems(document, max_depth=_DEEPEST)
    if any(each.code in {"too_deep", "too_many_values"} for each in unstorable):
        return unstorable
    report = Report()
    report.extend(unstorable)
    _check_document(document, report)
    if _check_size(document.get("steps"), max_steps, report):
        _check_steps(document, roles, frozenset(step_types), report)
    return report.problems()


def _check_document(document: Mapping[str, Any], report: Report) -> None:
    sound = check_fields(document, "", FIELDS, READ_ONLY, report)
    if "name" not in document:
        report.add("", "required", "An orchestration needs a name.")
    if "steps" not in document:
        report.add("", "required", "An orchestration needs steps, at least one.")
    elif document["steps"] == []:
        report.add("/steps", "no_steps", "There must be at least one step.")
    if "input_schema" in sound:
        _check_schema(document["input_schema"], report)


def _check_schema(schema: Any, report: Report) -> None:
    problems = schema_problems(schema, "/input_schema")
    known = {(each.pointer, each.code) for each in report.problems()}
    report.extend(each for each in problems if (each.pointer, each.code) not in known)


def _check_size(steps: Any, most: int, report: Report) -> bool:
    """Tell whether the steps may be looked at one by one."""
    if not isinstance(steps, list):
        return False
    count = max(len(steps), sum(1 for _ in islice(walk(steps), most + 1)))
    if count > most:
        detail = f"There are more than {most:,} steps; split the orchestration."
        report.add("/steps", "too_many_steps", detail)
    return count <= most


def _check_steps(
    document: Mapping[str, Any],
    roles: RoleDirectory,
    types: frozenset[str],
    report: Report,
) -> None:
    sent = document["steps"]
    steps = _placed(sent, "/steps", iter(step_keys(sent)), 1, report)
    for step in flattened(steps):
        check_step(step, roles, types, report)
        check_config(step, report)
        _check_depth(step, report)
    check_bodies(steps, report)
    check_names(steps, report)
    check_groups(steps, report)
    check_references(
        steps, document.get("output"), document.get("input_schema"), report
    )


def _placed(
    steps: Any, pointer: str, keys: Iterator[str], depth: int, report: Report
) -> tuple[Placed, ...]:
    """Check the shape of each step; steps nested too deeply are left out."""
    if not isinstance(steps, list) or not steps:
        return ()
    if depth > MAX_STEP_DEPTH:
        detail = f"Steps may be nested {MAX_STEP_DEPTH} levels deep at most."
        report.add(pointer, "too_deep", detail)
        list(islice(keys, sum(1 for _ in walk(steps))))
        return ()
    placed = []
    for place, sent in enumerate(steps):
        at = child(pointer, place)
        if isinstance(sent, Mapping):
            placed.append(_step(sent, place, at, keys, depth, report))
        else:
            detail = f"A step is an object, not {kind_of(sent)}."
            report.add(at, "wrong_type", detail)
    return tuple(placed)


def _step(
    sent: Mapping[str, Any],
    place: int,
    pointer: str,
    keys: Iterator[str],
    depth: int,
    report: Report,
) -> Placed:
    key, sound = next(keys), check_shape(sent, pointer, report)
    return Placed(
        sent=sent,
        pointer=pointer,
        key=key,
        order=sent["order"] if "order" in sound else place,
        sound=sound,
        settings=sound_settings(sent, sound, pointer, report),
        body=_placed(sent.get("steps"), pointer + "/steps", keys, depth + 1, report),
    )


def _check_depth(step: Placed, report: Report) -> None:
    config = step.get("config")
    if config:
        problems = storable_problems(config, step.at("config"))
        report.extend(each for each in problems if each.code == "too_deep")
