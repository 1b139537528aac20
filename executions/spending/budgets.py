"""
Budgets as those who make calls know them.

Ask which apply (`applying`), `reserve` before each call, and settle by the ledger or
`release`. What a lost attempt left is `lost`; `raised` lets go on what waits.
"""

from __future__ import annotations

from executions.spending.applicable import applying, forget, known_to_be_none
from executions.spending.losses import LOST, lost, sweep_expired
from executions.spending.raising import raised, raised_lately
from executions.spending.reservations import release, reserve
from executions.spending.scene import AppliedBudget, Scene
from executions.spending.verdicts import Crossing, Verdict

__all__ = [
    "LOST",
    "AppliedBudget",
    "Crossing",
    "Scene",
    "Verdict",
    "applying",
    "forget",
    "known_to_be_none",
    "lost",
    "raised",
    "raised_lately",
    "release",
    "reserve",
    "sweep_expired",
]
