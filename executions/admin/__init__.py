"""Executions and workers in Django's admin, and the button that runs orchestrations."""

from __future__ import annotations

from executions.admin.approvals import ApprovalAdmin
from executions.admin.executions import ExecutionAdmin
from executions.admin.orchestrations import RunnableOrchestrationAdmin
from executions.admin.spending import BudgetAdmin, ExchangeAdmin, SpendingAdmin
from executions.admin.workers import WorkerAdmin

__all__ = [
    "ApprovalAdmin",
    "BudgetAdmin",
    "ExchangeAdmin",
    "ExecutionAdmin",
    "RunnableOrchestrationAdmin",
    "SpendingAdmin",
    "WorkerAdmin",
]
