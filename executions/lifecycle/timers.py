"""What is to happen later: an execution looked at, a step tried again."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from executions.database import fetch

_WAKE: LiteralString = """
UPDATE executions_execution x
SET wake_at = least(x.wake_at, coalesce(%(at)s::timestamptz,
  clock_timestamp() + %(in_ms)s * interval '1 ms'))
WHERE x.id = ANY(%(executions)s) AND x.status IN ('pending', 'running', 'waiting')
RETURNING x.id
"""


def wake_execution(
    *execution_ids: UUID, at: datetime | None = None, in_ms: int = 0
) -> None:
    """Have the reconciler look at executions, at a time or in some milliseconds."""
    fetch(_WAKE, {"executions": sorted(execution_ids), "at": at, "in_ms": in_ms})
