"""Steps as database rows, for people's editors; the engine reads versions instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

from core_orchestration.definition import STEP_FIELDS, Step
from core_orchestration.models import Orchestration, OrchestrationStep
from core_orchestration.validation.directory import normal_id

COLUMNS = tuple(name for name in STEP_FIELDS if name != "steps")
_WRITTEN = [*COLUMNS, "parent"]
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
    role_id = step.role_id and normal_id(step.role_id)
    return replace(step, role_id=role_id, steps=normal_steps(step.steps))


def replace_steps(orchestration: Orchestration, steps: Iterable[Step]) -> None:
    """Make the rows those of `steps`; a step keeps its row's id by its key."""
    ids = dict(orchestration.step_rows.values_list("key", "pk"))
    rows = list(_rows(orchestration, steps, None, ids))
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
    """Read the rows back as the contract's JSON: nested and in order."""
    bodies: dict[UUID | None, list[dict[str, Any]]] = {None: []}
    rows = orchestration.step_rows.order_by("order", "id").values(
        "id", "parent_id", *COLUMNS
    )
    for row in rows:
        place = bodies.setdefault(row.pop("parent_id"), [])
        body = bodies.setdefault(row.pop("id"), [])
        role = row["role_id"] and str(row["role_id"])
        place.append({**row, "role_id": role, "steps": body})
    return bodies[None]


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
