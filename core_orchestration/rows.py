"""Steps as database rows, for people's editors; the engine reads versions instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

from core_orchestration.definition import STEP_FIELDS, Step
from core_orchestration.models import Orchestration, OrchestrationStep
from core_orchestration.reasoning import ROLE_FIELDS, with_roles
from core_orchestration.validation.directory import normal_id

COLUMNS = tuple(name for name in STEP_FIELDS if name != "steps")
_WRITTEN = [*COLUMNS, "parent", "on_failure"]
_BATCH = 500


def normal_steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    """
    Write role ids in their usual form, and give siblings ascending orders.

    So rows sort as the steps were sent, and ids compare as text.
    """
    steps = tuple(_normal(step) for step in steps)
    if all(before.order < after.order for before, after in pairwise(steps)):
        return steps
    return tuple(replace(step, order=place) for place, step in enumerate(steps))


def _normal(step: Step) -> Step:
    return replace(
        step,
        role_id=step.role_id and normal_id(step.role_id),
        compensate=step.compensate and _normal_role(step.compensate),
        config=_normal_config(step),
        steps=normal_steps(step.steps),
    )


def _normal_role(naming: Mapping[str, Any]) -> Mapping[str, Any]:
    role_id = naming.get("role_id")
    return {**naming, "role_id": normal_id(role_id)} if role_id else naming


def _normal_config(step: Step) -> Mapping[str, Any]:
    if step.step_type not in ROLE_FIELDS:
        return step.config
    return with_roles(
        step, lambda named: named if isinstance(named, str) else _normal_role(named)
    )


def replace_steps(
    orchestration: Orchestration, steps: Iterable[Step], on_failure: Iterable[Step] = ()
) -> None:
    """Make the rows those of both lists; a step keeps its row's id by its key."""
    ids = dict(orchestration.step_rows.values_list("key", "pk"))
    rows = list(_rows(orchestration, steps, None, ids))
    for row in _rows(orchestration, on_failure, None, ids):
        row.on_failure = row.parent is None
        rows.append(row)
    gone = ids.keys() - {row.key for row in rows}
    orchestration.step_rows.filter(key__in=gone).delete()
    OrchestrationStep.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[name.removesuffix("_id") for name in _WRITTEN],
        batch_size=_BATCH,
    )


def steps_of(orchestration: Orchestration) -> list[dict[str, Any]]:
    """Read the rows of `steps` back as the contract's JSON: nested and in order."""
    return lists_of(orchestration)["steps"]


def lists_of(orchestration: Orchestration) -> dict[str, list[dict[str, Any]]]:
    """Read the rows back as `steps` and `on_failure`, both nested and in order."""
    lists: dict[str, list[dict[str, Any]]] = {"steps": [], "on_failure": []}
    bodies: dict[UUID, list[dict[str, Any]]] = {}
    rows = orchestration.step_rows.order_by("order", "id").values(
        "id", "parent_id", "on_failure", *COLUMNS
    )
    for row in rows:
        top = lists["on_failure" if row.pop("on_failure") else "steps"]
        parent = row.pop("parent_id")
        place = top if parent is None else bodies.setdefault(parent, [])
        body = bodies.setdefault(row.pop("id"), [])
        role = row["role_id"] and str(row["role_id"])
        place.append({**row, "role_id": role, "steps": body})
    return lists


def _rows(
    orchestration: Orchestration,
    steps: Iterable[Step],
    parent: OrchestrationStep | None,
    ids: Mapping[str, UUID],
) -> Iterator[OrchestrationStep]:
    for step in steps:
        row = OrchestrationStep(
            orchestration=orchestration,
            parent=parent,
            **{name: getattr(step, name) for name in COLUMNS},
        )
        row.pk = ids.get(step.key, row.pk)
        yield row
        yield from _rows(orchestration, step.steps, row, ids)
