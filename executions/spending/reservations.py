"""
Reserve what a call may come to in all of its budgets, before it is made.

Accounts are locked in the order of their ids and read by the next statement, so that
calls at the same time come one after the other and never get more than there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from executions.database import fetch, one_transaction
from executions.spending import accounts
from executions.spending.scene import AppliedBudget
from executions.spending.verdicts import OK, Amounts, Verdict, decide

_RESERVE: LiteralString = """
WITH told AS (
  UPDATE executions_budgetaccount a SET soft_told_at = clock_timestamp()
  WHERE a.id = ANY(%(crossed)s))
INSERT INTO executions_reservation
  (account_id, call_id, step_run_id, fence, money, tokens, requests, expires_at)
SELECT a.id, %(call)s, %(step_run)s, %(fence)s, %(money)s, %(tokens)s, %(requests)s,
  clock_timestamp() + %(seconds)s * interval '1 second'
FROM unnest(%(accounts)s::uuid[]) AS a(id)
RETURNING id
"""


def reserve(
    call_id: UUID,
    step_run_id: UUID,
    fence: int,
    budgets: Sequence[AppliedBudget],
    money: Decimal | None,
    tokens: int,
    requests: int,
    seconds: float,
) -> Verdict:
    """
    Reserve the most that a call may come to, in all budgets or in none.

    `money` is None for a model of unknown price. After `seconds` the reservation counts
    as spent, so they are to be longer than the call can take. To be called outside of
    any transaction; what it waits for is as short as this.
    """
    if not budgets:
        return OK
    wanted = Amounts(money=money, tokens=tokens, requests=requests)
    while True:
        with one_transaction():
            if accounts.hold(budgets):
                return _taken(call_id, step_run_id, fence, budgets, wanted, seconds)
        accounts.open_missing(budgets)


def _taken(
    call_id: UUID,
    step_run_id: UUID,
    fence: int,
    budgets: Sequence[AppliedBudget],
    wanted: Amounts,
    seconds: float,
) -> Verdict:
    held = accounts.read(budgets)
    verdict = decide(held, wanted)
    if verdict.reserved and held:
        params = {
            "call": call_id,
            "step_run": step_run_id,
            "fence": fence,
            "money": wanted.money,
            "tokens": wanted.tokens,
            "requests": wanted.requests,
            "seconds": seconds,
            "accounts": [each.id for each in held],
            "crossed": [each.account for each in verdict.crossed],
        }
        fetch(_RESERVE, params)
    return verdict


_RELEASE: LiteralString = """
WITH mine AS (
  SELECT r.id FROM executions_reservation r WHERE r.call_id = ANY(%(calls)s)
  ORDER BY r.id FOR UPDATE OF r)
DELETE FROM executions_reservation r USING mine WHERE r.id = mine.id RETURNING r.id
"""


def release(call_ids: Iterable[UUID]) -> None:
    """Give back what was reserved for calls that were not made, or not answered."""
    fetch(_RELEASE, {"calls": list(call_ids)})
