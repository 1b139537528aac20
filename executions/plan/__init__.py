"""
A published version made ready to run: templates parsed, needs worked out.

`compiled` is a pure function of a version; versions never change, so each process
compiles one once and keeps it. `placed` puts a body where a frame runs it.
"""

from __future__ import annotations

from executions.plan.compiled import Body, roles_named
from executions.plan.order import find_step, rank
from executions.plan.placed import (
    Needs,
    Plan,
    PlannedStep,
    compile_plan,
    plan_at,
    scope_of,
)
from executions.plan.readers import ESCALATION_TIME
from executions.plan.unwinding import can_undo, undoable, unwinds

__all__ = [
    "ESCALATION_TIME",
    "Body",
    "Needs",
    "Plan",
    "PlannedStep",
    "can_undo",
    "compile_plan",
    "find_step",
    "plan_at",
    "rank",
    "roles_named",
    "scope_of",
    "undoable",
    "unwinds",
]
