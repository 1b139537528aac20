"""
What a worker must know before it starts a step, read in one statement.

That is the state of the execution, or of a frame of it, and the finished steps that the
step's templates name.
"""

from __future__ import annotations

from executions.situation.known import Row, Situation
from executions.situation.outputs import (
    block_output,
    is_ready,
    output_after,
    previous_output,
)
from executions.situation.reading import (
    all_settled,
    read,
    read_all,
    read_before,
    read_each,
    read_frames,
    read_more,
)

__all__ = [
    "Row",
    "Situation",
    "all_settled",
    "block_output",
    "is_ready",
    "output_after",
    "previous_output",
    "read",
    "read_all",
    "read_before",
    "read_each",
    "read_frames",
    "read_more",
]
