"""Until when an agent may go on; in a worker, the engine's clock is to come first."""

from __future__ import annotations

from datetime import UTC, datetime

from roles.runners.base import Attempt

GRACE_S = 2.0  # after the deadline, where an engine ends attempts by itself


def seconds_left(attempt: Attempt) -> float:
    """Return for how long models may be waited for, in seconds; never nothing."""
    left = (attempt.deadline - datetime.now(UTC)).total_seconds()
    return max(0.001, left + (0.0 if attempt.host is None else GRACE_S))
