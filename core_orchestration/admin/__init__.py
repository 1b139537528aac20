"""Orchestrations and their versions in Django's admin."""

from __future__ import annotations

from core_orchestration.admin.orchestrations import OrchestrationAdmin
from core_orchestration.admin.versions import OrchestrationVersionAdmin

__all__ = ["OrchestrationAdmin", "OrchestrationVersionAdmin"]
