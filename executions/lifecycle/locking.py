"""
The execution's row lock, taken before its step runs are touched.

A statement sees the rows as they were when it began, even if it then waited for a
lock. What ends an execution must also end a step that was claimed meanwhile, so the
lock is a statement of its own and the ending sees what came before it.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from executions.database import fetch

_LOCK: LiteralString = """
SELECT x.id FROM executions_execution x WHERE x.id = %(execution)s
FOR NO KEY UPDATE OF x
"""


def lock_execution(execution_id: UUID) -> None:
    """Wait for, and hold, an execution's row until the transaction ends."""
    fetch(_LOCK, {"execution": execution_id})


_LOCK_OF: LiteralString = """
SELECT x.id FROM executions_execution x
JOIN executions_steprun s ON s.execution_id = x.id
WHERE s.id = %(step_run)s
FOR NO KEY UPDATE OF x
"""


def lock_execution_of(step_run_id: UUID) -> UUID | None:
    """Do the same for the execution of a step run; None for an unknown one."""
    for (execution_id,) in fetch(_LOCK_OF, {"step_run": step_run_id}):
        return UUID(str(execution_id))
    return None
