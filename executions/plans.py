"""The plans of versions, compiled once per process and kept."""

from __future__ import annotations

from functools import lru_cache

from core_orchestration import versions
from executions.plan import Plan, compile_plan


@lru_cache(maxsize=256)
def load(version_id: str) -> Plan:
    """Return the plan of a version; versions never change."""
    return compile_plan(versions.load(version_id))
