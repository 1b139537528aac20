"""
Let go on what waits for a budget, once that was raised.

A step may be about to wait while its budget is raised. So those of budgets that were
changed a short while ago are looked at once more; who finds no room waits again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from executions import lifecycle
from executions.database import fetch, one_transaction
from executions.lifecycle.pruning import BOUNDED_EACH, BOUNDS

_BATCH = 200
_LATELY_S = 30.0

# Execution by execution, as the reconciler reads them: each has its steps in one place.
_PARKED: LiteralString = """
SELECT e.id, s.id
FROM executions_execution e, {bounds}, LATERAL (
  SELECT s.id FROM executions_steprun s
  WHERE s.execution_id = e.id AND s.status = 'waiting'
    AND s.state->>'parked' = 'budget' AND s.state->>'budget' = ANY(%(budgets)s)
    AND (s.retry_at IS NULL OR s.retry_at > clock_timestamp())
    AND {bounded} OFFSET 0) s
WHERE e.status IN ('running', 'waiting', 'paused') AND e.id > %(after)s
ORDER BY e.id LIMIT %(batch)s
"""
_PARKED_STEPS = _PARKED.format(bounds=BOUNDS, bounded=BOUNDED_EACH)
_LOCK: LiteralString = """
SELECT x.id FROM executions_execution x WHERE x.id = ANY(%(executions)s)
ORDER BY x.id FOR NO KEY UPDATE OF x
"""
_DUE: LiteralString = """
UPDATE executions_steprun s SET retry_at = clock_timestamp()
WHERE s.id = ANY(%(steps)s) AND s.status = 'waiting' AND s.state->>'parked' = 'budget'
RETURNING s.id
"""
_LATELY: LiteralString = """
SELECT b.id FROM executions_budget b
WHERE b.updated_at > clock_timestamp() - %(seconds)s * interval '1 second'
  AND b.updated_at > b.created_at + interval '1 second'
"""


def raised(*budget_ids: UUID) -> int:
    """
    Have the steps looked at that wait for budgets; return how many.

    It may be a part of the transaction that raises them, or takes them away.
    """
    found, after = 0, UUID(int=0)
    while rows := _parked(budget_ids, after):
        executions = sorted({row[0] for row in rows})
        with one_transaction():
            fetch(_LOCK, {"executions": executions})
            found += len(fetch(_DUE, {"steps": [row[1] for row in rows]}))
            lifecycle.wake_execution(*executions)
        if len(rows) < _BATCH:
            break
        after = UUID(int=executions[-1].int - 1)  # it may have more of them
    return found


def raised_lately() -> int:
    """Do so for the budgets that were changed in the last half minute."""
    budgets = [row[0] for row in fetch(_LATELY, {"seconds": _LATELY_S})]
    return raised(*budgets) if budgets else 0


def _parked(budget_ids: Sequence[UUID], after: UUID) -> list[tuple[UUID, UUID]]:
    params = {"budgets": [*map(str, budget_ids)], "after": after, "batch": _BATCH}
    return [(row[0], row[1]) for row in fetch(_PARKED_STEPS, params)]
