"""Steer executions that are under way."""

from __future__ import annotations

from uuid import UUID

from executions import lifecycle
from executions.announce import announce


def cancel(execution_id: UUID, *, by: str | None, reason: str | None = None) -> bool:
    """
    End an execution now; False when it had ended by itself.

    Steps that run are told at their worker's next heartbeat; what they still report
    changes nothing.
    """
    cancelled = lifecycle.cancel(execution_id, by=by, reason=reason)
    announce(execution_id)
    return cancelled
