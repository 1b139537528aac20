"""
The accounts of budgets: found by an id that follows from what they are for.

The account of a budget, a period and an execution has a computed id: so it is found by
its primary key, and locked in the order of ids before it has to be read. A new one
begins with what the ledger has of its scope and period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch
from executions.spending.scene import AppliedBudget
from executions.spending.verdicts import Account, Amounts

# Budgets that were switched off or removed a moment ago do not count any more. The day
# is that of the transaction's beginning: it does not end between two statements.
_DUE: LiteralString = """
today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
wanted AS (
  SELECT b.*, w.execution_id AS share, CASE b.period
    WHEN 'day' THEN today.day
    WHEN 'month' THEN date_trunc('month', today.day)::date END AS period_start
  FROM today, unnest(%(budgets)s::uuid[], %(shares)s::uuid[])
    AS w(budget_id, execution_id)
  JOIN executions_budget b ON b.id = w.budget_id AND b.is_active),
due AS (
  SELECT md5(concat_ws('/', b.id, coalesce(b.period_start::text, '-'),
      coalesce(b.share::text, '-')))::uuid AS account_id,
    coalesce(b.period_start::timestamp AT TIME ZONE 'UTC', '-infinity') AS since,
    b.*
  FROM wanted b)
"""
_HOLD: LiteralString = """
WITH {due},
held AS (
  SELECT a.id FROM executions_budgetaccount a
  WHERE a.id IN (SELECT account_id FROM due) ORDER BY a.id FOR NO KEY UPDATE OF a)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM held)
"""
_HOLD_DUE = _HOLD.format(due=_DUE)
_IN_SCOPE: LiteralString = """
  CASE due.scope WHEN 'role' THEN p.role_id WHEN 'orchestration' THEN p.orchestration_id
    WHEN 'api_key' THEN p.api_key_id ELSE due.scope_id END = due.scope_id
  AND p.at >= due.since
"""
_OPEN: LiteralString = """
WITH RECURSIVE {due},
below (account_id, execution_id) AS (
  SELECT due.account_id, coalesce(due.share, due.scope_id) FROM due
  WHERE due.share IS NOT NULL OR due.scope = 'execution'
  UNION
  SELECT below.account_id, x.id FROM below
  JOIN executions_execution x ON x.parent_execution_id = below.execution_id),
spent AS (
  SELECT due.account_id, p.cost, p.input_tokens + p.output_tokens AS tokens, p.requests
  FROM due JOIN executions_spending p ON {in_scope}
  WHERE due.share IS NULL AND due.scope <> 'execution'
  UNION ALL
  SELECT due.account_id, p.cost, p.input_tokens + p.output_tokens, p.requests
  FROM due JOIN below ON below.account_id = due.account_id
  JOIN executions_spending p ON p.execution_id = below.execution_id AND {in_scope})
INSERT INTO executions_budgetaccount
  (id, budget_id, period_start, execution_id, money, tokens, requests)
SELECT due.account_id, due.id, due.period_start, due.share,
  coalesce(sum(spent.cost), 0), coalesce(sum(spent.tokens), 0),
  coalesce(sum(spent.requests), 0)
FROM due LEFT JOIN spent ON spent.account_id = due.account_id
GROUP BY due.account_id, due.id, due.period_start, due.share ORDER BY due.account_id
ON CONFLICT DO NOTHING RETURNING id
"""
_OPEN_DUE = _OPEN.format(due=_DUE, in_scope=_IN_SCOPE)
_READ: LiteralString = """
WITH {due}
SELECT a.id, due.id, due.scope, due.scope_id, coalesce(r.name, o.name, k.name),
  due.period, due.money, due.tokens, due.requests,
  a.money, a.tokens, a.requests, kept.money, kept.tokens, kept.requests, kept.live,
  due.soft_percent, due.on_soft, due.on_hard, a.soft_told_at IS NOT NULL,
  extract(epoch FROM (due.period_start + CASE due.period
    WHEN 'day' THEN interval '1 day' ELSE interval '1 month' END)
    AT TIME ZONE 'UTC' - clock_timestamp())::float8
FROM due JOIN executions_budgetaccount a ON a.id = due.account_id
LEFT JOIN roles_role r ON due.scope = 'role' AND r.id = due.scope_id
LEFT JOIN core_orchestration_orchestration o
  ON due.scope = 'orchestration' AND o.id = due.scope_id
LEFT JOIN roles_apikey k ON due.scope = 'api_key' AND k.id = due.scope_id,
LATERAL (
  SELECT coalesce(sum(v.money), 0) AS money, coalesce(sum(v.tokens), 0) AS tokens,
    coalesce(sum(v.requests), 0) AS requests,
    count(*) FILTER (WHERE v.expires_at > clock_timestamp()) AS live
  FROM executions_reservation v WHERE v.account_id = a.id) AS kept
ORDER BY a.id
"""
_READ_DUE = _READ.format(due=_DUE)


def hold(budgets: Sequence[AppliedBudget]) -> bool:
    """
    Lock the accounts until the transaction ends; False if one has yet to be opened.

    A statement sees the rows as they were when it began, even if it then waited for a
    lock: what is in the accounts is to be read by a later one.
    """
    due, held = fetch(_HOLD_DUE, _params(budgets))[0]
    return bool(due == held)


def open_missing(budgets: Sequence[AppliedBudget]) -> None:
    """Open accounts outside of any transaction, so that nobody waits in a circle."""
    fetch(_OPEN_DUE, _params(budgets))


def read(budgets: Sequence[AppliedBudget]) -> list[Account]:
    """Return the accounts that are held, with their limits as they are now."""
    return [_account(row) for row in fetch(_READ_DUE, _params(budgets))]


_HOLD_RESERVED: LiteralString = """
SELECT r.id FROM executions_reservation r
JOIN executions_budgetaccount a ON a.id = r.account_id
WHERE a.budget_id = %(budget)s ORDER BY r.id FOR UPDATE OF r
"""
_HOLD_ALL: LiteralString = """
SELECT a.id FROM executions_budgetaccount a WHERE a.budget_id = %(budget)s
ORDER BY a.id FOR UPDATE OF a
"""


def hold_all(budget_id: UUID) -> None:
    """Lock whatever belongs to a budget, in the order of those who settle calls."""
    fetch(_HOLD_RESERVED, {"budget": budget_id})
    fetch(_HOLD_ALL, {"budget": budget_id})


_TELL_AGAIN: LiteralString = """
WITH held AS (
  SELECT a.id FROM executions_budgetaccount a
  WHERE a.budget_id = %(budget)s AND a.soft_told_at IS NOT NULL
  ORDER BY a.id FOR NO KEY UPDATE OF a)
UPDATE executions_budgetaccount a SET soft_told_at = NULL
FROM held WHERE a.id = held.id RETURNING a.id
"""


def tell_again(budget_id: UUID) -> None:
    """Have a budget's soft limit told once more, after that was changed."""
    fetch(_TELL_AGAIN, {"budget": budget_id})


def _params(budgets: Sequence[AppliedBudget]) -> Mapping[str, Any]:
    return {
        "budgets": [each.id for each in budgets],
        "shares": [each.execution_id for each in budgets],
    }


def _account(row: tuple[Any, ...]) -> Account:
    (id_, budget, scope, scope_id, name, period, *figures) = row
    limits, spent, reserved = (
        Amounts(money=money, tokens=tokens, requests=requests)
        for money, tokens, requests in (figures[:3], figures[3:6], figures[6:9])
    )
    live, soft_percent, on_soft, on_hard, is_soft_told, renews_in_s = figures[9:]
    return Account(
        id=id_,
        budget=budget,
        title=f"{scope.replace('_', ' ')} {name or scope_id}",
        period=period,
        limits=limits,
        spent=spent,
        reserved=reserved,
        live=live,
        soft_percent=soft_percent,
        on_soft=on_soft,
        on_hard=on_hard,
        is_soft_told=is_soft_told,
        renews_in_s=renews_in_s,
    )
