"""What agents said and did, kept as it happens, so that a later attempt goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from django.db.models import QuerySet

from executions.database import decoded, fetch
from executions.models import Exchange
from executions.spending.storing import storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tool's call or a program that was run; `data` as `Exchange` has it."""

    execution_id: UUID
    step_run_id: UUID
    path: str
    attempt: int
    kind: str  # tool or code
    call_id: str
    data: Mapping[str, Any]


_KEEP: LiteralString = """
INSERT INTO executions_exchange
  (execution_id, step_run_id, path, attempt, kind, call_id, data)
SELECT execution_id, step_run_id, path, attempt, kind, call_id, data
FROM jsonb_to_recordset(%(entries)s::jsonb) AS e(n int, execution_id uuid,
  step_run_id uuid, path text, attempt int, kind text, call_id text, data jsonb)
ORDER BY n RETURNING id
"""


def keep(entries: Sequence[Entry]) -> None:
    """Put entries on record, in their order, with one statement."""
    if entries:
        rows = [
            {
                "n": number,
                "execution_id": str(each.execution_id),
                "step_run_id": str(each.step_run_id),
                "path": each.path,
                "attempt": each.attempt,
                "kind": each.kind,
                "call_id": each.call_id,
                "data": dict(each.data),
            }
            for number, each in enumerate(entries)
        ]
        fetch(_KEEP, {"entries": storable(rows)})


_REMEMBERED: LiteralString = """
SELECT x.kind, x.call_id, x.data FROM executions_exchange x
WHERE x.step_run_id = %(step_run)s ORDER BY x.id
"""


def remembered(step_run_id: UUID) -> tuple[list[Any], dict[str, Any]]:
    """
    Return the messages of a step in their order, and its results by the call's id.

    Of two results of one call the first counts: it is what the model was told.
    """
    messages: list[Any] = []
    results: dict[str, Any] = {}
    for kind, call_id, data in fetch(_REMEMBERED, {"step_run": step_run_id}):
        if kind == "messages":
            messages += decoded(data)
        elif call_id:
            results.setdefault(call_id, decoded(data))
    return messages, results


def transcript(execution_id: UUID, path: str | None = None) -> QuerySet[Exchange]:
    """Return what was said and done in an execution, or at one step, in its order."""
    rows = Exchange.objects.filter(execution_id=execution_id)
    if path is not None:
        rows = rows.filter(path=path)
    return rows.order_by("id")


# Of long values the beginning is read: the whole stands in the transcript.
_CALLS: LiteralString = """
SELECT x.step_run_id, jsonb_build_object('kind', x.kind, 'call_id', x.call_id,
  'attempt', x.attempt, 'created_at', x.created_at) || (
    SELECT jsonb_object_agg(each.key, CASE WHEN length(each.value::text) <= %(longest)s
      THEN each.value ELSE to_jsonb(left(each.value::text, %(longest)s) || '…') END)
    FROM jsonb_each(x.data) AS each(key, value))
FROM executions_exchange x
WHERE x.execution_id = %(execution)s AND x.kind <> 'messages'
ORDER BY x.id LIMIT %(most)s
"""
LONGEST_VALUE = 2_000
MOST_CALLS = 1_000


def calls_of(execution_id: UUID) -> dict[UUID, list[Any]]:
    """
    List an execution's tool calls and programs by their step runs, in their order.

    Values of more than 2,000 characters are cut, and the first 1,000 calls are read.
    """
    params = {
        "execution": execution_id,
        "longest": LONGEST_VALUE,
        "most": MOST_CALLS,
    }
    found: dict[UUID, list[Any]] = {}
    for step_run_id, call in fetch(_CALLS, params):
        found.setdefault(step_run_id, []).append(decoded(call))
    return found
