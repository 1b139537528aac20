"""
The host of agents: what `roles.runners.hosting` asks for, from the record.

Models come from the catalogue, money from the budgets, tools from the toolkit; all that
was said and paid is recorded as it happens. No connection is held while a model thinks.
"""

from __future__ import annotations

from executions.agents.host import StepHost

__all__ = ["StepHost"]
