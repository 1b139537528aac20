"""
What executions are pinned to: versions, made ready as plans, and roles.

Neither ever changes, so each process reads one once and keeps it. A connection that
the reading took is given back at once: a pool serves many more threads than it has.
"""

from __future__ import annotations

from functools import lru_cache

from core_orchestration import versions
from core_orchestration.reasoning import expanded
from executions.database import borrowed_connection
from executions.plan import Plan, compile_plan, plan_at
from executions.signatures import Address
from roles import snapshots
from roles.runners import RoleSpec


@lru_cache(maxsize=256)
def plan(version_id: str) -> Plan:
    """Return the plan of a version, its patterns expanded."""
    with borrowed_connection():
        return compile_plan(expanded(versions.load(version_id)))


def plan_of(address: Address) -> Plan:
    """Return the plan of the frame that an address names."""
    return plan_in(address.version, address.frame)


def plan_in(version_id: str, frame: str) -> Plan:
    """Return the plan of a version's frame; LookupError if it has no such body."""
    return _plan_in(version_id, frame) if frame else plan(version_id)


@lru_cache(maxsize=4096)
def _plan_in(version_id: str, frame: str) -> Plan:
    return plan_at(plan(version_id), frame)


@lru_cache(maxsize=4096)
def role(snapshot_id: str) -> RoleSpec:
    """Return a role as it was pinned."""
    with borrowed_connection():
        return snapshots.load(snapshot_id)
