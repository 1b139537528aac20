"""
Count calls as spent that nobody settled: their worker was lost while they ran.

The provider may have been paid, and nobody knows how much. So the most that was
reserved is taken from the accounts, and the ledger has a row of the provider `lost`.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from executions.database import fetch

LOST = "lost"

# Who settles or gives back a reservation holds its row: it is passed by. The order is
# the ledger's: reservations, accounts, rows.
_COUNT: LiteralString = """
WITH late AS (
  SELECT r.id FROM executions_reservation r WHERE {late}
  ORDER BY r.id {limit} FOR UPDATE SKIP LOCKED),
gone AS (
  DELETE FROM executions_reservation r USING late WHERE r.id = late.id
  RETURNING r.account_id, r.call_id, r.step_run_id, r.fence, r.money, r.tokens,
    r.requests),
held AS (
  SELECT a.id FROM executions_budgetaccount a
  WHERE a.id IN (SELECT account_id FROM gone) ORDER BY a.id FOR NO KEY UPDATE OF a),
due AS (
  SELECT held.id, coalesce(sum(gone.money), 0) AS money, sum(gone.tokens) AS tokens,
    sum(gone.requests) AS requests
  FROM held JOIN gone ON gone.account_id = held.id GROUP BY held.id),
settled AS (
  UPDATE executions_budgetaccount a SET money = a.money + due.money,
    tokens = a.tokens + due.tokens, requests = a.requests + due.requests
  FROM due WHERE a.id = due.id RETURNING a.id),
calls AS (
  SELECT DISTINCT ON (call_id) call_id, step_run_id, fence, money, tokens, requests
  FROM gone ORDER BY call_id),
noted AS (
  INSERT INTO executions_spending
    (call_id, execution_id, step_run_id, path, attempt, orchestration_id, role_id,
     role_name, api_key_id, created_by_id, provider, model, choice, requests,
     tool_calls, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost)
  SELECT c.call_id, s.execution_id, s.id, s.path,
    greatest(s.attempt - CASE WHEN s.fence > c.fence THEN 1 ELSE 0 END, 1),
    e.orchestration_id,
    (SELECT r.id FROM roles_role r WHERE r.name = s.role_name), s.role_name,
    e.api_key_id, e.created_by_id, %(provider)s, 'unknown', '', c.requests, 0, c.tokens,
    0, 0, 0, c.money
  FROM calls c JOIN executions_steprun s ON s.id = c.step_run_id
  JOIN executions_execution e ON e.id = s.execution_id
  WHERE (SELECT count(*) FROM settled) >= 0 ORDER BY c.call_id
  ON CONFLICT (call_id) DO NOTHING)
SELECT call_id FROM calls
"""
_LOST = _COUNT.format(
    late="r.step_run_id = %(step_run)s AND r.fence < %(fence)s", limit=""
)
_EXPIRED = _COUNT.format(
    late="r.expires_at < clock_timestamp()", limit="LIMIT %(batch)s"
)


def lost(step_run_id: UUID, fence: int) -> int:
    """
    Count what attempts before `fence` left unsettled; return how many calls.

    If such a call is answered after all, what was counted stands.
    """
    params = {"step_run": step_run_id, "fence": fence, "provider": LOST}
    return len(fetch(_LOST, params))


def sweep_expired(batch: int) -> int:
    """Count reservations as spent whose time is over; return how many calls."""
    return len(fetch(_EXPIRED, {"batch": batch, "provider": LOST}))
