"""Give an execution a budget of its own, for itself and all below it."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from uuid_utils.compat import uuid7

from executions.database import fetch
from executions.spending import applicable
from roles.toolkit import BudgetLimits

# It may have been raised since it was made, and that stands.
_ALLOT: LiteralString = """
WITH made AS (
  INSERT INTO executions_budget (id, scope, scope_id, period, per_execution, money,
    tokens, requests, soft_percent, on_soft, on_hard, is_active, created_at, updated_at)
  VALUES (%(id)s, 'execution', %(execution)s, 'total', false, %(money)s, %(tokens)s,
    %(requests)s, 80, 'event', %(on_hard)s, true, now(), now())
  ON CONFLICT (scope, scope_id, period, per_execution) DO NOTHING RETURNING id)
SELECT id FROM made UNION ALL
SELECT b.id FROM executions_budget b
WHERE b.scope = 'execution' AND b.scope_id = %(execution)s AND b.period = 'total'
  AND NOT b.per_execution
LIMIT 1
"""


def allot(
    execution_id: UUID, limits: BudgetLimits, *, on_hard: str = "wait"
) -> UUID | None:
    """
    Make the budget of an execution, and return its id; None without any limit.

    Done once more it changes nothing: a budget that is there stays as it is.
    """
    if limits.money is None and limits.tokens is None and limits.requests is None:
        return None
    params = {
        "id": uuid7(),
        "execution": execution_id,
        "money": limits.money,
        "tokens": limits.tokens,
        "requests": limits.requests,
        "on_hard": on_hard,
    }
    rows = fetch(_ALLOT, params)
    applicable.forget()
    budget: UUID | None = rows[0][0] if rows else None
    return budget
