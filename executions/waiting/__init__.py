"""
Why does it not move? A pure decision: facts in, one answer out.

Whatever is not over waits for something that can be named: a worker, a timer, a
person. Of several answers an execution shows the first in the order of `Kind`.
"""

from __future__ import annotations

from executions.waiting.decision import PATIENCE, of_execution, of_step
from executions.waiting.facts import (
    Asked,
    ExecutionFacts,
    Fleet,
    Kind,
    Owner,
    Served,
    StepFacts,
    WaitingOn,
)
from executions.waiting.words import crowd, reconciler_wanted, start_worker

__all__ = [
    "PATIENCE",
    "Asked",
    "ExecutionFacts",
    "Fleet",
    "Kind",
    "Owner",
    "Served",
    "StepFacts",
    "WaitingOn",
    "crowd",
    "of_execution",
    "of_step",
    "reconciler_wanted",
    "start_worker",
]
