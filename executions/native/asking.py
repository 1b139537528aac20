"""`approval`: people are asked, reminded, and others after them; see `answering`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from executions import lifecycle
from executions.bodies import Fault
from executions.database import one_transaction
from executions.lifecycle import Claim, Open, People, Question, Verdict, Waiting
from executions.native.answering import conclude
from executions.native.ending import CLOCK
from executions.native.place import Place
from executions.native.timing import milliseconds
from executions.native.upshot import NOTHING, Upshot
from executions.plan import ESCALATION_TIME
from executions.runs import run_of
from roles.problems import kind_of

_LONGEST_PERMISSION = 255
# What the clock decides, by `on_timeout`; without one of these the step fails.
_DECISIONS = {"approve": "approved", "reject": "rejected"}


def begin(at: Place) -> Upshot:
    """Ask."""
    question = _question(at)
    state = {
        "reminded": 0,
        "escalated": False,
        "escalation_ms": _time(at, ESCALATION_TIME),
    }
    run = run_of(at.address, at.planned, given=question.note())
    times = (question.timeout_ms, at.planned.step.config.get("remind_every_ms"))
    soonest = min((time for time in times if time is not None), default=None)
    with one_transaction():
        waits = Waiting(in_ms=soonest)
        if lifecycle.begin_waiting(run, state=state, waits=waits):
            approval, expires_at = lifecycle.ask(run, question)
            more = {"approval_id": str(approval), "expires_at": _spelled(expires_at)}
            lifecycle.tell(run, "asked", more | _told(question))
            at.rest()
    return NOTHING


def wake(at: Place, claim: Claim) -> Upshot:
    """Remind of the question or, when its time is over, do without an answer."""
    asked = lifecycle.open_question(claim.run)
    if asked is None:
        return NOTHING
    state = lifecycle.recall(claim.run)
    if not asked.is_overdue:
        return _remind(at, claim, asked, state)
    config = at.planned.step.config
    stage = config.get("escalate_to") or {} if state["escalated"] else config
    wanted = stage.get("on_timeout", "fail")
    if wanted == "escalate" and not state["escalated"]:
        return _escalate(at, claim, asked, state)
    decision = _DECISIONS.get(wanted, "expired")
    verdict = Verdict(approval=asked.id, decision=decision, channel=CLOCK)
    return conclude(at, claim, verdict) if lifecycle.decide(verdict) else NOTHING


def _remind(at: Place, claim: Claim, asked: Open, state: Mapping[str, Any]) -> Upshot:
    """Tell once how long it has waited, however many reminders were missed."""
    every = at.planned.step.config.get("remind_every_ms")
    due = asked.waited_ms // every if every else 0
    if due > state["reminded"]:
        waited = {"approval_id": str(asked.id), "waited_ms": asked.waited_ms}
        lifecycle.tell(claim.run, "reminded", waited)
        state = {**state, "reminded": due}
    return _wait_on(at, claim, asked, state, expires_at=asked.expires_at)


def _escalate(at: Place, claim: Claim, asked: Open, state: Mapping[str, Any]) -> Upshot:
    """Let others answer, too, in a time of their own."""
    more = at.planned.step.config.get("escalate_to") or {}
    people = _everybody(at.planned.step.config)
    limit = state["escalation_ms"]
    expires_at = lifecycle.widen(asked.id, people, timeout_ms=limit)
    told = {
        "approval_id": str(asked.id),
        "waited_ms": asked.waited_ms,
        "users": more.get("users") or [],
        "groups": more.get("groups") or [],
        "permission": more.get("permission"),
        "expires_at": _spelled(expires_at),
    }
    lifecycle.tell(claim.run, "escalated", told)
    state = {**state, "escalated": True}
    return _wait_on(at, claim, asked, state, expires_at=expires_at)


def _wait_on(
    at: Place,
    claim: Claim,
    asked: Open,
    state: Mapping[str, Any],
    *,
    expires_at: datetime | None,
) -> Upshot:
    """Wait for the next reminder or the end, whichever comes first."""
    times = [expires_at] if expires_at else []
    if every := at.planned.step.config.get("remind_every_ms"):
        number = max(asked.waited_ms // every, state["reminded"]) + 1
        times.append(asked.asked_at + number * timedelta(milliseconds=every))
    until = min(times, default=None)
    lifecycle.put_off(claim.run, state=state, until=until, in_ms=None)
    at.rest()
    return NOTHING


# --- the question ---------------------------------------------------------------------


def _question(at: Place) -> Question:
    config = at.planned.step.config
    _everybody(config)
    return Question(
        prompt=_prompt(at),
        form=config.get("form"),
        people=_people(config),
        timeout_ms=_time(at, "timeout_ms"),
    )


def _prompt(at: Place) -> str:
    if "prompt" not in at.planned.compiled.templates:
        return at.planned.step.name
    prompt = at.render("prompt")
    if not isinstance(prompt, str):
        raise Fault("bad_prompt", f"prompt must be text, not {kind_of(prompt)}.")
    return prompt


def _time(at: Place, name: str) -> int | None:
    if name not in at.planned.compiled.templates:
        return None
    return milliseconds(name, at.render(name), type_="bad_timeout")


def _told(question: Question) -> dict[str, Any]:
    """Tell all but the form, which may be long and is in the step's input."""
    return {name: each for name, each in question.note().items() if name != "form"}


def _people(named: Mapping[str, Any]) -> People:
    return People(
        users=named.get("users") or (),
        groups=named.get("groups") or (),
        permission=named.get("permission") or "",
    )


def _everybody(config: Mapping[str, Any]) -> People:
    """Name all who may answer in the end."""
    people = _people(config)
    if more := config.get("escalate_to"):
        people = people.joined_by(_people(more))
    if len(people.permission) > _LONGEST_PERMISSION:
        raise Fault(
            "bad_permission",
            "permission, together with that of escalate_to, has more than "
            f"{_LONGEST_PERMISSION} characters; use a group.",
        )
    return people


def _spelled(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
