"""
Executions that others started: whose end is to be heard of, and who are left alone.

A child is `awaited` as long as its parent has not heard of its end; so whoever dies in
between leaves a row behind that says so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from executions.database import decoded, fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An execution as its parent sees it."""

    id: UUID
    version: UUID
    status: str
    output: Any
    error: Any


_OF_PARENT: LiteralString = """
SELECT x.id, x.version_id, x.status, x.output, x.error FROM executions_execution x
WHERE x.id = %(child)s AND x.finished_at IS NOT NULL
"""


def ended_child(child_id: UUID) -> Child | None:
    """Return a child that has ended."""
    for id_, version, status, output, error in fetch(_OF_PARENT, {"child": child_id}):
        return Child(
            id=id_,
            version=version,
            status=status,
            output=decoded(output),
            error=decoded(error),
        )
    return None


_PARENT: LiteralString = """
SELECT p.id, p.version_id, p.epoch, c.parent_path
FROM executions_execution c
JOIN executions_execution p ON p.id = c.parent_execution_id
WHERE c.id = %(child)s AND c.awaited AND c.finished_at IS NOT NULL
"""


def waiting_parent(child_id: UUID) -> list[tuple[UUID, UUID, int, str]]:
    """Return who waits for a child that has ended: id, version, epoch, step's path."""
    return [(*row,) for row in fetch(_PARENT, {"child": child_id})]


_UNHEARD: LiteralString = """
SELECT c.id, c.parent_execution_id, c.parent_path
FROM executions_execution c
JOIN executions_execution p ON p.id = c.parent_execution_id
WHERE c.awaited AND c.finished_at IS NOT NULL
  AND (p.status IN ('running', 'waiting') OR p.finished_at IS NOT NULL)
ORDER BY c.finished_at LIMIT %(batch)s
"""


def unheard_children(*, batch: int) -> list[tuple[UUID, UUID, str]]:
    """List children that have ended, each with its parent and the path of its step."""
    return [(row[0], row[1], row[2]) for row in fetch(_UNHEARD, {"batch": batch})]


_HEARD: LiteralString = """
UPDATE executions_execution c SET awaited = false
WHERE c.id = %(child)s AND c.awaited RETURNING c.id
"""


def hear_child(child_id: UUID) -> bool:
    """Note that a child's end was heard of; False if it was before."""
    return bool(fetch(_HEARD, {"child": child_id}))


_AWAIT: LiteralString = """
UPDATE executions_execution c SET awaited = true WHERE c.id = ANY(%(children)s)
RETURNING c.id
"""


def await_children(children: Collection[UUID]) -> None:
    """Have ends of children heard of once more."""
    fetch(_AWAIT, {"children": list(children)})


# Steps of a parent that wait have their children's ids in mind.
_FORSAKEN: LiteralString = """
SELECT c.id FROM executions_execution c
JOIN executions_execution p ON p.id = c.parent_execution_id
WHERE c.awaited AND c.finished_at IS NULL AND c.cancel_request IS NULL
  AND (p.finished_at IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM executions_steprun s
    WHERE s.execution_id = p.id AND s.path = c.parent_path AND s.status = 'waiting'))
ORDER BY c.id LIMIT %(batch)s
"""


def forsaken_children(*, batch: int) -> list[UUID]:
    """List children under way for which no step waits any more."""
    return [row[0] for row in fetch(_FORSAKEN, {"batch": batch})]
