"""Where an agent works: its execution, those above it, and on whose behalf it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from executions.database import fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an agent's calls are charged to, and whose rights its tools have."""

    orchestration_id: UUID
    user_id: int | None
    user_name: str
    api_key_id: UUID | None
    depth: int
    lineage: tuple[UUID, ...]  # the execution, and those above it


_SCENE: LiteralString = """
WITH RECURSIVE above AS (
  SELECT x.id, x.parent_execution_id, 0 AS height FROM executions_execution x
  WHERE x.id = %(execution)s
  UNION ALL
  SELECT x.id, x.parent_execution_id, above.height + 1
  FROM above JOIN executions_execution x ON x.id = above.parent_execution_id
  WHERE above.height < 100)
SELECT x.orchestration_id, x.created_by_id, coalesce(u.username, ''), x.api_key_id,
  x.depth, (SELECT array_agg(above.id ORDER BY above.height) FROM above)
FROM executions_execution x LEFT JOIN auth_user u ON u.id = x.created_by_id
WHERE x.id = %(execution)s
"""


def read(execution_id: UUID) -> Scene:
    """Read it; the execution is there as long as a step of it runs."""
    rows = fetch(_SCENE, {"execution": execution_id})
    orchestration, user, name, key, depth, lineage = rows[0]
    return Scene(
        orchestration_id=orchestration,
        user_id=user,
        user_name=name,
        api_key_id=key,
        depth=depth,
        lineage=tuple(lineage),
    )
