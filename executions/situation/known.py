"""What one worker knows of an execution, and the context that it makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from executions.lifecycle import Outcome
from executions.paths import TOP
from executions.plan import Needs, Plan
from executions.states import TERMINAL_STEP, StepStatus


@dataclass(frozen=True, slots=True)
class Row:
    """
    What a step run contributes to the context.

    A frame's has a cursor, and gives values of its own.
    """

    status: StepStatus
    output: Any
    exports: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    given: Any = None
    cursor: int | None = None

    @property
    def is_settled(self) -> bool:
        return self.status in TERMINAL_STEP


@dataclass(slots=True)
class Situation:
    """
    An execution as one worker knows it; outcomes that it records are added.

    Below the top it is about the frame at the path `frame`.
    """

    status: str
    cancelling: bool
    epoch: int
    cursor: int
    role_pins: Mapping[str, str]
    input: Any
    rows: dict[str, Row]
    awaited: bool = False  # by the execution that started it
    unwinding: bool = False  # only what is done after a failure goes on
    frame: str = TOP

    @property
    def goes_on(self) -> bool:
        """Tell whether steps may begin."""
        alive = self.status in ("pending", "running", "waiting")
        if self.unwinding and not self.frame.startswith("@"):
            return False
        return alive and not self.cancelling and self._frame_is_open

    @property
    def _frame_is_open(self) -> bool:
        if not self.frame:
            return True
        row = self.rows.get(self.frame)
        return row is not None and row.status == StepStatus.WAITING

    def within(self, frame: str) -> Situation:
        """See the same from a frame whose row has been read, if there is one."""
        row = self.rows.get(frame)
        cursor = row.cursor if row and row.cursor is not None else 0
        return replace(self, frame=frame, cursor=cursor)

    @property
    def settled(self) -> set[str]:
        """The paths of the steps that are settled."""
        return {path for path, row in self.rows.items() if row.is_settled}

    def is_current(self, epoch: int) -> bool:
        """Tell whether messages of this epoch still count."""
        return self.goes_on and self.epoch == epoch

    def remember(self, path: str, outcome: Outcome) -> None:
        """Add what a step came to."""
        self.rows[path] = Row(
            outcome.status, outcome.output, outcome.exports, outcome.error
        )

    def knows(self, needs: Needs) -> bool:
        """Tell whether everything that `needs` names has been read."""
        return not needs.errors and needs.paths <= self.rows.keys()

    def context(self, plan: Plan, needs: Needs) -> dict[str, Any]:
        """Build the part of `context` that `needs` names from the rows at hand."""
        return self._context(plan, self.rows if needs.errors else needs.paths)

    def whole_context(self, plan: Plan) -> dict[str, Any]:
        """Build `context` from every row at hand."""
        return self._context(plan, self.rows)

    def _context(self, plan: Plan, paths: Iterable[str]) -> dict[str, Any]:
        context: dict[str, Any] = {"input": self.input}
        if plan.is_beside and plan.outer is not None:
            context |= dict.fromkeys(
                plan.outer.body.makers
            )  # it may not have come to be
        errors = {}
        exported: dict[str, Any] = {}
        for path, planned in plan.inwards(
            [path for path in paths if path in self.rows]
        ):
            row = self.rows[path]
            if planned is None:
                context |= _given_to_all(row)
            elif row.is_settled:
                context[planned.step.key] = row.output
                exported |= row.exports or {}
                if row.error and row.status != StepStatus.CANCELLED:
                    errors[planned.step.key] = row.error
        return context | exported | {"errors": errors}


def _given_to_all(frame: Row) -> dict[str, Any]:
    """Return what a frame gives to all of its steps by name: the item, the turn."""
    return {name: value for name, value in frame.given.items() if name != "output"}
