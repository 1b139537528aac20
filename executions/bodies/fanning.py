"""
Frames that run beside each other: how many at a time, and when there are enough.

`Fan` is what maps and parallel branches have in common. What it keeps in mind are
numbers alone, so that ten thousand frames weigh no more than two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executions.bodies.base import Decision, EndedFrame, Finish, NewFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """
    The rules of one step.

    `window` frames are under way at a time, None for all; `enough` successes end the
    step, None for as many as there are frames; `forgiving` goes on after failures as
    long as there can be enough.
    """

    window: int | None
    enough: int | None
    forgiving: bool

    def begin(self, frames: Sequence[NewFrame], *, note: Any = None) -> Decision:
        total = len(frames)
        first = total if self.window is None else min(self.window, total)
        return Decision(
            make=frames,
            start=[frame.name for frame in frames[:first]],
            state={"total": total, "started": first, "completed": 0, "failed": 0},
            note=note,
        )

    def hear(
        self,
        state: Mapping[str, Any],
        ended: Sequence[EndedFrame],
        names: Sequence[str] | None = None,
    ) -> Decision:
        """Go on with frames named by number, or by `names` in their order."""
        completed = state["completed"] + sum(frame.completed for frame in ended)
        failed = state["failed"] + sum(not frame.completed for frame in ended)
        total, started = state["total"], state["started"]
        known = {**state, "completed": completed, "failed": failed}
        if finish := self._finish(ended, total, completed, failed):
            return Decision(state=known, finish=finish)
        free = total if self.window is None else self.window
        upto = min(total, completed + failed + free)
        coming = range(started, max(started, upto))
        return Decision(
            state={**known, "started": max(started, upto)},
            start=[names[number] if names else number for number in coming],
        )

    def _finish(
        self, ended: Sequence[EndedFrame], total: int, completed: int, failed: int
    ) -> Finish | None:
        if not self.forgiving and failed:
            first = next(frame for frame in ended if not frame.completed)
            return Finish(error=first.error)
        if self.enough is not None:
            return self._enough(total, completed, failed)
        return Finish(gathered=True) if completed + failed == total else None

    def _enough(self, total: int, completed: int, failed: int) -> Finish | None:
        wanted = self.enough or 0
        if completed >= wanted:
            return Finish(gathered=True)
        if total - failed >= wanted:
            return None
        message = (
            f"{wanted} of {total} had to succeed; {failed} failed and {completed} "
            "succeeded."
        )
        return Finish(error={"type": "too_few_succeeded", "message": message})
