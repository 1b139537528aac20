"""
The ledger: each call of a model, for whom it was, what it took and what it cost.

A call is on record as soon as it was answered, so that what an attempt spent stays when
the attempt is lost. Many calls of many steps are one statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from executions.database import fetch
from executions.spending.storing import storable
from roles.runners.hosting import CallUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A call that was answered, with the messages since the one before it.

    `cost` is in USD, None where the price is unknown.
    """

    call_id: UUID
    execution_id: UUID
    step_run_id: UUID
    path: str
    attempt: int
    fence: int
    orchestration_id: UUID | None
    role_id: UUID | None
    role_name: str
    api_key_id: UUID | None
    created_by_id: int | None
    provider: str
    model: str
    choice: str
    usage: CallUsage
    cost: Decimal | None
    messages: Sequence[Any] = field(default_factory=list)


# What an attempt hears that is not the step's own any more is paid for like all else,
# but it is no part of the conversation, which the next attempt goes on with.
# Whoever settles takes reservations first, then accounts, then the ledger's rows, each
# in one order: so that nobody waits in a circle.
_RECORD: LiteralString = """
WITH c AS (
  SELECT * FROM jsonb_to_recordset(%(calls)s::jsonb) AS c(n int, call_id uuid,
    execution_id uuid, step_run_id uuid, path text, attempt int, fence int,
    orchestration_id uuid, role_id uuid, role_name text, api_key_id uuid,
    created_by_id int, provider text, model text, choice text, tool_calls int,
    input_tokens bigint, cached_tokens bigint, output_tokens bigint,
    reasoning_tokens bigint, cost numeric, messages jsonb)),
mine AS (
  SELECT r.id FROM executions_reservation r JOIN c ON c.call_id = r.call_id
  ORDER BY r.id FOR UPDATE OF r),
gone AS (
  DELETE FROM executions_reservation r USING mine WHERE r.id = mine.id
  RETURNING r.account_id, r.call_id, r.money),
held AS (
  SELECT a.id FROM executions_budgetaccount a
  WHERE a.id IN (SELECT account_id FROM gone) ORDER BY a.id FOR NO KEY UPDATE OF a),
due AS (
  SELECT held.id, sum(coalesce(c.cost, gone.money, 0)) AS money,
    sum(c.input_tokens + c.output_tokens) AS tokens, count(*) AS requests
  FROM held JOIN gone ON gone.account_id = held.id JOIN c ON c.call_id = gone.call_id
  GROUP BY held.id),
settled AS (
  UPDATE executions_budgetaccount a SET money = a.money + due.money,
    tokens = a.tokens + due.tokens, requests = a.requests + due.requests
  FROM due WHERE a.id = due.id RETURNING a.id),
spent AS (
  INSERT INTO executions_spending
    (call_id, execution_id, step_run_id, path, attempt, orchestration_id, role_id,
     role_name, api_key_id, created_by_id, provider, model, choice, requests,
     tool_calls, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost)
  SELECT call_id, execution_id, step_run_id, path, attempt, orchestration_id, role_id,
    role_name, api_key_id, created_by_id, provider, model, choice, 1, tool_calls,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost
  FROM c WHERE (SELECT count(*) FROM settled) >= 0 ORDER BY call_id
  ON CONFLICT (call_id) DO NOTHING RETURNING call_id),
said AS (
  INSERT INTO executions_exchange
    (execution_id, step_run_id, path, attempt, kind, call_id, data)
  SELECT c.execution_id, c.step_run_id, c.path, c.attempt, 'messages',
    c.call_id::text, c.messages
  FROM c JOIN spent ON spent.call_id = c.call_id
  JOIN executions_steprun s ON s.id = c.step_run_id AND s.fence = c.fence
  WHERE jsonb_array_length(c.messages) > 0 ORDER BY c.n)
SELECT count(*) FROM spent
"""


def record(calls: Sequence[Call]) -> None:
    """
    Put calls on record, and settle what was reserved for them.

    Safe to repeat when the reply was lost. A call whose price is unknown settles for
    the money that was reserved.
    """
    if calls:
        rows = [_row(number, call) for number, call in enumerate(calls)]
        fetch(_RECORD, {"calls": storable(rows)})


def _row(number: int, call: Call) -> Mapping[str, Any]:
    return {
        "n": number,
        "call_id": str(call.call_id),
        "execution_id": str(call.execution_id),
        "step_run_id": str(call.step_run_id),
        "path": call.path,
        "attempt": call.attempt,
        "fence": call.fence,
        "orchestration_id": _text(call.orchestration_id),
        "role_id": _text(call.role_id),
        "role_name": call.role_name,
        "api_key_id": _text(call.api_key_id),
        "created_by_id": call.created_by_id,
        "provider": call.provider,
        "model": call.model,
        "choice": call.choice,
        "tool_calls": call.usage.tool_calls,
        "input_tokens": call.usage.input_tokens,
        "cached_tokens": call.usage.cached_tokens,
        "output_tokens": call.usage.output_tokens,
        "reasoning_tokens": call.usage.reasoning_tokens,
        "cost": _text(call.cost),
        "messages": list(call.messages),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
