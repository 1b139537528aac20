"""Say what a ticket is about, and plan when to ask the customer again."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core_orchestration.demo.writing import sentences
from roles.functions import function

_DAYS = {"high": 1, "normal": 3}
SATURDAY = 5
_WORDS = {
    "billing": ("charged", "invoice", "payment", "refund"),
    "technical": ("app", "crash", "error", "freezes", "upload"),
}


@function("demo.vote_category")
def vote_category(given: dict[str, Any]) -> dict[str, Any]:
    """Name the category of a ticket by one of its sentences, that of the `number`."""
    parts = sentences(given["task"]) or [""]
    sentence = parts[(given["number"] - 1) % len(parts)].lower()
    found = [
        category
        for category, words in _WORDS.items()
        if any(word in sentence for word in words)
    ]
    return {"category": (found or ["other"])[0], "sentence": sentence}


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
