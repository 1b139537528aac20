"""Plan when to ask a customer again."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from roles.functions import function

_DAYS = {"high": 1, "normal": 3}
SATURDAY = 5


@function("demo.plan_follow_up")
def plan_follow_up(given: dict[str, Any]) -> dict[str, Any]:
    """Give the ticket a reference and a working day on which to ask again."""
    ticket = f"{given['customer']}\n{given['message']}"
    days = _DAYS[given["urgency"]]
    due = working_day_after(datetime.now(UTC).date(), days)
    topic = "" if given["category"] == "other" else f"{given['category']} "
    return {
        "reference": "T-" + hashlib.sha256(ticket.encode()).hexdigest()[:8].upper(),
        "due_on": due.isoformat(),
        "question": f"Did our answer to your {topic}question help, {given['customer']}?",
    }


def working_day_after(day: date, days: int) -> date:
    """Count `days` working days on from `day`; weekends do not count."""
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < SATURDAY
    return day
