"""
The record: executions, their step runs and events, and the workers' leases.

Rows are written by `lifecycle` alone, with guarded statements; these classes give
the tables their shape and reading its queries. Step runs and events carry UUIDs
and identities that grow with time, so that old rows leave in ranges.
"""

from __future__ import annotations

from executions.models.approvals import Approval
from executions.models.conversations import Exchange
from executions.models.events import Event, TransactionIdField
from executions.models.executions import Execution, ExecutionQuerySet
from executions.models.signals import Delivery, Signal
from executions.models.spending import Budget, BudgetAccount, Reservation, Spending
from executions.models.steps import StepRun
from executions.models.workers import Worker

__all__ = [
    "Approval",
    "Budget",
    "BudgetAccount",
    "Delivery",
    "Event",
    "Exchange",
    "Execution",
    "ExecutionQuerySet",
    "Reservation",
    "Signal",
    "Spending",
    "StepRun",
    "TransactionIdField",
    "Worker",
]
