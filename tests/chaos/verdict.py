"""
What must hold when a run is over: the invariants of every fault test, and more.

Everything that was promised with a 202 is there, an outsider saw each completed
effect, no client got an answer that it must not get, and no process ended by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.client import Client
from tests.chaos.fleet import ChaosFleet
from tests.chaos.recovery import Happened
from tests.chaos.workloads import EFFECTS
from tests.faults import invariants

_IDS = "SELECT id::text FROM executions_execution"
_BY_HAND = """
SELECT v.execution_id::text, v.path FROM executions_event v
WHERE v.type = 'step.settled_by_hand' AND v.data->>'action' = 'complete'
"""
# What was copied from another execution has no attempt of its own.
_EFFECTS = """
SELECT s.id::text, s.execution_id::text, s.path FROM executions_steprun s
WHERE s.status = 'completed' AND s.attempt > 0 AND s.role_name = ANY(%s)
"""
_EVENTS = """
SELECT v.execution_id::text, v.path, v.type, v.created_at FROM executions_event v
ORDER BY v.transaction_id, v.id
"""
_LOG = """
SELECT v.created_at, v.transaction_id::text, v.type, v.path, v.data
FROM executions_event v WHERE v.execution_id = %s ORDER BY v.transaction_id, v.id
"""


def violations(fleet: ChaosFleet, client: Client, roles: dict[str, str]) -> list[str]:
    return [
        *invariants.violations(fleet.servers.database_url, tuple(fleet.sink.effects)),
        *_absent(fleet, client),
        *_unseen(fleet, [roles[does] for does in EFFECTS]),
        *(f"answered {each}" for each in client.unexpected),
        *fleet.ended,
    ]


def _absent(fleet: ChaosFleet, client: Client) -> Iterator[str]:
    known = {row[0] for row in fleet.query(_IDS)}
    for execution, shape in client.accepted.items():
        if execution not in known:
            yield f"execution {execution}: was accepted ({shape}) and does not exist"


def _unseen(fleet: ChaosFleet, roles: list[str]) -> Iterator[str]:
    seen = {effect.key for effect in tuple(fleet.sink.effects)}
    by_hand = set(fleet.query(_BY_HAND))
    for step_run, execution, path in fleet.query(_EFFECTS, roles):
        if step_run not in seen and (execution, path) not in by_hand:
            yield f"execution {execution}: step {path} completed and nobody saw it"


def happened(fleet: ChaosFleet) -> list[Happened]:
    return [Happened(*row) for row in fleet.query(_EVENTS)]


def event_log(fleet: ChaosFleet, execution: str) -> str:
    """Write down an execution's events, one a line."""
    rows = fleet.query(_LOG, execution)
    return "\n".join(
        f"  {at:%H:%M:%S.%f} {transaction:>8} {kind:<26} {path or '':<8} {data or ''}"
        for at, transaction, kind, path, data in rows
    )
