"""How budgets stand: what is spent, reserved and left of each account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch
from executions.models import Budget
from executions.spending.verdicts import money_text

MOST_ACCOUNTS = 20  # of one budget: the newest
_NAMES = ("money", "tokens", "requests")

_ACCOUNTS: LiteralString = """
WITH a AS (
  SELECT a.*, row_number() OVER (PARTITION BY a.budget_id ORDER BY
    a.period_start DESC NULLS LAST, a.execution_id DESC NULLS LAST) AS n
  FROM executions_budgetaccount a WHERE a.budget_id = ANY(%(budgets)s))
SELECT a.budget_id, a.period_start, a.execution_id, a.money, a.tokens, a.requests,
  kept.money, kept.tokens, kept.requests, a.soft_told_at
FROM a, LATERAL (
  SELECT coalesce(sum(v.money), 0) AS money, coalesce(sum(v.tokens), 0) AS tokens,
    coalesce(sum(v.requests), 0) AS requests
  FROM executions_reservation v WHERE v.account_id = a.id) AS kept
WHERE a.n <= %(most)s ORDER BY a.budget_id, a.n
"""


def of(budgets: Iterable[Budget]) -> dict[UUID, list[dict[str, Any]]]:
    """Return the newest accounts of budgets, as interfaces show them; one query."""
    known = {each.pk: each for each in budgets}
    found: dict[UUID, list[dict[str, Any]]] = {id_: [] for id_ in known}
    params = {"budgets": list(known), "most": MOST_ACCOUNTS}
    for budget_id, *row in fetch(_ACCOUNTS, params):
        found[budget_id].append(_shown(known[budget_id], row))
    return found


def _shown(budget: Budget, row: Sequence[Any]) -> dict[str, Any]:
    period_start, execution_id, *figures, soft_told_at = row
    spent = dict(zip(_NAMES, figures[:3], strict=True))
    reserved = dict(zip(_NAMES, figures[3:], strict=True))
    left = {
        name: None if limit is None else max(limit - spent[name] - reserved[name], 0)
        for name in _NAMES
        for limit in (getattr(budget, name),)
    }
    return {
        "period_start": period_start,
        "execution_id": execution_id,
        "spent": _amounts(spent),
        "reserved": _amounts(reserved),
        "left": _amounts(left),
        "soft_told_at": soft_told_at,
    }


def _amounts(figures: dict[str, Any]) -> dict[str, Any]:
    money = figures["money"]
    return {
        "money": None if money is None else money_text(Decimal(money)),
        **{
            name: None if figures[name] is None else int(figures[name])
            for name in ("tokens", "requests")
        },
    }
