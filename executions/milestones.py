"""
A step that runs only while another one has not begun.

Both begin under the execution's row: this one holds it alone, so that the other cannot
begin between the look and the claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString
from uuid import UUID

from executions.database import fetch
from executions.lifecycle.pruning import BOUNDED, bounds
from executions.plan import Body, PlannedStep

_BEGUN: LiteralString = """
SELECT EXISTS (
  SELECT 1 FROM executions_steprun s
  WHERE s.execution_id = %(execution)s AND s.key = %(key)s AND s.cursor IS NULL
    AND starts_with(s.path, %(inside)s)
    AND s.status NOT IN ('pending', 'skipped') AND {bounded})
"""
_HAS_BEGUN = _BEGUN.format(bounded=BOUNDED)


def is_past(execution_id: UUID, planned: PlannedStep) -> bool:
    """
    Tell whether the step that a step must come before has begun.

    In a body that runs many times it is the same run of it that counts.
    """
    key = planned.step.milestone
    if key is None:
        return False
    params = {
        "execution": execution_id,
        **bounds(execution_id),
        "key": key,
        "inside": _frame_around(planned, key),
    }
    return bool(fetch(_HAS_BEGUN, params)[0][0])


def _frame_around(planned: PlannedStep, key: str) -> str:
    """Return where paths begin of what both steps stand in."""
    for plan in planned.plan.outwards():
        if key in _keys(plan.body):
            return f"{plan.frame}/" if plan.frame else ""
    return ""


def _keys(body: Body) -> Iterator[str]:
    for one in body.compiled:
        yield one.step.key
        for inner in one.bodies.values():
            yield from _keys(inner)
