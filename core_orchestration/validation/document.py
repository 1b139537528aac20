"""A whole orchestration's document: every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from core_orchestration.keys import step_keys, walk
from roles.problems import Problem, child, kind_of
from roles.schemas import schema_problems
from roles.storable import MAX_DEPTH, storable_problems

from .bodies import check_bodies
from .configs import check_config, sound_settings
from .directory import OrchestrationDirectory, RoleDirectory
from .limits import CEILINGS, check_limits
from .made import check_made_keys
from .milestones import check_milestones
from .named import check_orchestration
from .placed import Lists, Placed
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
from .steps import SUPPORTED, check_shape, check_step, placed_undoing

MAX_STEPS = 10_000
MAX_STEP_DEPTH = 20
_YEAR_MS = 365 * 24 * 60 * 60 * 1000
_DEEPEST = 2 * MAX_STEP_DEPTH + MAX_DEPTH + 3

FIELDS: Mapping[str, Field] = {
    "name": Field(rule=text(200)),
    "description": Field(rule=text(10_000, blank=True)),
    "tags": Field(rule=texts(50, 100)),
    "is_active": Field(rule=boolean),
    "expose_as_tool": Field(rule=boolean),
    "input_schema": Field(rule=mapping, nullable=True),
    "timeout_ms": Field(rule=whole_number(1, _YEAR_MS), nullable=True),
    "output": Field(rule=anything, nullable=True),
    "limits": Field(rule=mapping),
    "steps": Field(rule=sequence),
    "on_failure": Field(rule=sequence),
}
READ_ONLY = frozenset(
    {"id", "version", "provenance", "created_at", "updated_at", "created_by"}
)


def validate(
    document: Any,
    roles: RoleDirectory,
    *,
    step_types: Collection[str] = SUPPORTED,
    max_steps: int = MAX_STEPS,
    ceilings: Mapping[str, int] = CEILINGS,
    orchestrations: OrchestrationDirectory | None = None,
) -> list[Problem]:
    """
    List every problem of an orchestration as a client sent it, at most 1,000.

    Pointers count steps as sent, whatever their `order`. An empty list means that
    `definition.parse` reads the document and its steps can run. Without a directory
    of `orchestrations`, those that steps name are taken to be there.
    """
    if not isinstance(document, Mapping):
        detail = f"An orchestration is an object, not {kind_of(document)}."
        return [Problem("", "wrong_type", detail)]
    unstorable = storable_problems(document, max_depth=_DEEPEST)
    if any(each.code in {"too_deep", "too_many_values"} for each in unstorable):
        return unstorable
    report = Report()
    report.extend(unstorable)
    sound = _check_document(document, report)
    if "limits" in sound:
        check_limits(document["limits"], ceilings, report)
    if _check_size(document, max_steps, report):
        lists = _check_steps(document, roles, frozenset(step_types), report)
        if orchestrations is not None:
            _check_named(lists, orchestrations.including(document.get("name")), report)
    return report.problems()


def _check_document(document: Mapping[str, Any], report: Report) -> frozenset[str]:
    sound = check_fields(document, "", FIELDS, READ_ONLY, report)
    if "name" not in document:
        report.add("", "required", "An orchestration needs a name.")
    if "steps" not in document:
        report.add("", "required", "An orchestration needs steps, at least one.")
    elif document["steps"] == []:
        report.add("/steps", "no_steps", "There must be at least one step.")
    if "input_schema" in sound:
        _check_schema(document["input_schema"], report)
    return sound


def _check_schema(schema: Any, report: Report) -> None:
    problems = schema_problems(schema, "/input_schema")
    known = {(each.pointer, each.code) for each in report.problems()}
    report.extend(each for each in problems if (each.pointer, each.code) not in known)


def _check_size(document: Mapping[str, Any], most: int, report: Report) -> bool:
    """Tell whether the steps may be looked at one by one."""
    if not isinstance(document.get("steps"), list):
        return False
    sent = [*document["steps"], *_listed(document.get("on_failure"))]
    count = max(len(sent), sum(1 for _ in islice(walk(sent), most + 1)))
    if count > most:
        detail = f"There are more than {most:,} steps; split the orchestration."
        report.add("/steps", "too_many_steps", detail)
    return count <= most


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_steps(
    document: Mapping[str, Any],
    roles: RoleDirectory,
    types: frozenset[str],
    report: Report,
) -> Lists:
    lists = _lists(document["steps"], _listed(document.get("on_failure")), report)
    for step in lists.all():
        check_step(step, roles, types, report)
        check_config(step, report)
        _check_depth(step, report)
    for steps in lists:
        check_bodies(steps, report)
        check_groups(steps, report)
    check_names(lists, report)
    check_made_keys(lists, report)
    check_milestones(lists, report)
    check_references(
        lists, document.get("output"), document.get("input_schema"), report
    )
    return lists


def _check_named(lists: Lists, known: OrchestrationDirectory, report: Report) -> None:
    for step in lists.all():
        check_orchestration(step, known, report)


def _lists(steps: list[Any], on_failure: list[Any], report: Report) -> Lists:
    keys = iter(step_keys([*steps, *on_failure]))
    return Lists(
        steps=_placed(steps, "/steps", keys, 1, report),
        on_failure=_placed(on_failure, "/on_failure", keys, 1, report),
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
        undoing=placed_undoing(sent, sound, pointer, report),
    )


def _check_depth(step: Placed, report: Report) -> None:
    for name in ("config", "compensate"):
        if step.get(name):
            problems = storable_problems(step.get(name), step.at(name))
            report.extend(each for each in problems if each.code == "too_deep")
