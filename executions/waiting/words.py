"""What is waited for, and what would help, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from executions.waiting.facts import Asked, Served

LONGEST_QUOTE = 200
_PROCESSES = {"cpu": "worker-cpu", "control": "worker-cpu", "io": "worker-io"}


def clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def cut(text: str) -> str:
    """Keep of a message what fits into a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"


def because(error: str | None) -> str:
    return f" ({cut(error)})" if error else ""


def cancellation(request: Mapping[str, Any]) -> str:
    who, reason = request.get("by"), request.get("reason")
    asked = f"{who or 'Somebody'} asked for its end{because(reason)}"
    return f"{asked}; running steps are let go first."


def people(asked: Asked) -> str:
    """Name who may answer."""
    named = [_several("user", asked.users), _several("group", asked.groups)]
    named.append(_several("everybody with", asked.permissions, "everybody with"))
    if asked.steering:
        named.append("whoever may steer the execution")
    return " or ".join(filter(None, named))


def _several(noun: str, names: Sequence[str], plural: str = "") -> str:
    if not names:
        return ""
    word = noun if len(names) == 1 else plural or f"{noun}s"
    return f"{word} {cut(', '.join(map(repr, names)))}"


def event(name: str, step: str) -> str:
    return f"The event {cut(name)!r} that {step} waits for has not come in."


def post_event(name: str) -> str:
    """Say how an event comes in."""
    return (
        f'Post the event {{"name": "{cut(name)}"}} to /api/v1/events/, or to the '
        "execution's own signal/."
    )


def crowd(served: Served) -> str:
    """Count the workers of a queue."""
    if not served.workers:
        return "no live worker"
    workers = _counted(served.workers, "live worker")
    slots = _counted(served.slots, "slot")
    if served.is_full:
        return f"{workers} with {slots}, none of them free"
    return f"{workers} with {slots}, {served.busy} of them busy"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def process_of(queue: str) -> str | None:
    """Name the Procfile's process that serves a queue."""
    return _PROCESSES.get(queue.partition(".")[0])


def start_worker(queue: str) -> str:
    """Say how a queue comes to be served."""
    process = process_of(queue)
    if process is None:
        return f"Start a worker with -Q {queue}."
    return f"Start the Procfile's {process}, or another worker with -Q {queue}."


def more_workers(queue: str) -> str:
    """Say how a queue is served faster."""
    process = process_of(queue)
    named = f"the Procfile's {process}" if process else f"workers with -Q {queue}"
    return f"More workers would help: {named}."


def reconciler_wanted(purpose: str) -> str:
    return f"Start `manage.py reconcile`, {purpose}: no reconciler is at work."


ANSWER_IT = (
    "Answer it: in the admin, at `approvals/` of the API, or by a link made there."
)
RAISE_IT = (
    "Raise the budget, in the admin or at `budgets/` of the API; or set the model's "
    "price, if that is what is missing."
)
SLOTS_ARE_FREE = (
    "Nothing yet: slots are free. If this stays, look at the workers' logs."
)
RECONCILER_IS_LATE = "A reconciler is at work; if this stays, look at its log."
