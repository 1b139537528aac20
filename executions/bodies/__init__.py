"""
What steps that hold a body decide: which frames to open, when to end, and with what.

Pure: a decision follows from the step, what it keeps in mind, and how frames ended.
Whoever asks sees to it that what was decided is recorded, and done.
"""

from __future__ import annotations

from collections.abc import Mapping

from executions.bodies.base import (
    Decision,
    EndedFrame,
    Fault,
    Finish,
    Holder,
    NewFrame,
    Scene,
)
from executions.bodies.branches import BRANCH, PARALLEL
from executions.bodies.items import MAP
from executions.bodies.loop import LOOP
from executions.bodies.undo import UNDO

HOLDERS: Mapping[str, Holder] = {
    "branch": BRANCH,
    "loop": LOOP,
    "map": MAP,
    "parallel": PARALLEL,
    "undo": UNDO,
}

__all__ = [
    "HOLDERS",
    "Decision",
    "EndedFrame",
    "Fault",
    "Finish",
    "Holder",
    "NewFrame",
    "Scene",
]
