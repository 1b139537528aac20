"""Let a step wait whose runner said so: for a provider, for money, or for a person."""

from __future__ import annotations

import json
from typing import Any

from executions import lifecycle
from executions.lifecycle import Claim, People, Question
from executions.plan import PlannedStep
from executions.policy import LONGEST_MESSAGE
from executions.worker.patience import insist
from roles.runners import hosting
from roles.runners.hosting import Parked

LONGEST_CALL = 2_000  # characters of arguments that a question shows


def park(claim: Claim, planned: PlannedStep, parked: Parked) -> None:
    """Record why it waits, and until when; a person's answer may be asked for."""
    state: dict[str, Any] = {
        "parked": parked.kind,
        "detail": parked.detail[:LONGEST_MESSAGE],
    }
    if parked.budget:
        state["budget"] = parked.budget
    if parked.question:
        state["calls"] = [call["call_id"] for call in parked.question.calls]
    insist(
        lambda: lifecycle.park(
            claim,
            state=state,
            after_s=parked.after_s,
            question=_question(parked.question) if parked.question else None,
            among=planned.ordinals_around,
        )
    )


def _question(asked: hosting.Question) -> Question:
    """Ask with the calls that it is about, as they would be made."""
    lines = [f"{each['tool']} {_spelled(each['arguments'])}" for each in asked.calls]
    return Question(
        prompt="\n\n".join([asked.prompt, *lines])[:LONGEST_MESSAGE],
        form=None,
        people=People(
            users=asked.users, groups=asked.groups, permission=asked.permission
        ),
        timeout_ms=asked.timeout_ms,
    )


def _spelled(arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return text if len(text) <= LONGEST_CALL else f"{text[:LONGEST_CALL]}…"
