"""What an execution's page shows: the record as users get it, made readable."""

from __future__ import annotations

from typing import Any

from executions import record
from executions.models import Event, Execution
from roles.admin.readable import shown

SHOWN_STEPS = 500
SHOWN_EVENTS = 200


def page_of(execution: Execution) -> dict[str, Any]:
    """Prepare the page's parts; steps and events are limited to what one reads."""
    detail = record.detail(execution)
    steps = detail["step_logs"]
    return {
        "detail": detail,
        "json": {name: shown(detail[name]) for name in ("input", "context", "output")},
        "steps": [_step(step) for step in steps[:SHOWN_STEPS]],
        "hidden_steps": max(0, len(steps) - SHOWN_STEPS),
        "events": [(event, shown(event.data)) for event in _events(execution)],
        "events_limit": SHOWN_EVENTS,
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    return {**step, "input": shown(step["input"]), "output": shown(step["output"])}


def _events(execution: Execution) -> list[Event]:
    return list(execution.events.order_by("-id")[:SHOWN_EVENTS])
