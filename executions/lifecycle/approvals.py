"""
Questions to people: asked, widened, decided once, withdrawn.

A question is open while it has no decision and its step waits. Whoever decides holds
the execution's row; that a decision is still null is what lets one of them win.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from uuid_utils.compat import uuid7

from executions.database import fetch, json_or_null
from executions.lifecycle.claims import NewRun

# Stands among permissions, which all have a dot, for the right to steer an execution.
STEERING = "steer"


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who may answer; if nobody is named, whoever may steer the execution."""

    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    permission: str = ""  # several are divided by spaces

    @property
    def are_named(self) -> bool:
        return bool(self.users or self.groups or self.permission)

    @property
    def permissions(self) -> list[str]:
        return self.permission.split() if self.are_named else [STEERING]

    def joined_by(self, more: People) -> People:
        """Let these answer, and those as well."""
        return People(
            users=_once(self.users, more.users),
            groups=_once(self.groups, more.groups),
            permission=" ".join(_once(self.permissions, more.permissions)),
        )


def _once(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of whom, and for how long."""

    prompt: str
    form: Any
    people: People
    timeout_ms: int | None = None

    def note(self) -> dict[str, Any]:
        """Spell what the step run keeps as its input."""
        return {
            "prompt": self.prompt,
            "form": self.form,
            "users": list(self.people.users),
            "groups": list(self.people.groups),
            "permission": self.people.permission or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A question without an answer: since when, and until when."""

    id: UUID
    asked_at: datetime
    expires_at: datetime | None
    waited_ms: int
    is_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An answer: what, by whom (an id and a name), and on which way it came."""

    approval: UUID
    decision: str
    channel: str
    by: tuple[int, str] | None = None
    answer: Any = None
    comment: str = ""

    @property
    def name(self) -> str | None:
        return self.by[1] if self.by else None


_WITHDRAW: LiteralString = """
UPDATE executions_approval a
SET decision = 'withdrawn', decided_at = clock_timestamp()
WHERE {which} AND a.decision IS NULL RETURNING a.id
"""
_WITHDRAW_ONE = _WITHDRAW.format(which="a.id = %(approval)s")
_WITHDRAW_OF = _WITHDRAW.format(which="a.step_run = %(step_run)s")


def withdraw(approval_id: UUID) -> bool:
    """Close a question whose step does not wait any more."""
    return bool(fetch(_WITHDRAW_ONE, {"approval": approval_id}))


_ASK: LiteralString = """
INSERT INTO executions_approval
  (id, execution_id, step_run, path, prompt, form, users, groups, permission,
   asked_at, expires_at, channel, comment)
SELECT %(approval)s, %(execution)s, %(step_run)s, %(path)s, %(prompt)s,
  %(form)s::jsonb, %(users)s::varchar[], %(groups)s::varchar[], %(permission)s,
  now.at, now.at + %(timeout_ms)s::bigint * interval '1 ms', '', ''
FROM (SELECT clock_timestamp() AS at) AS now
RETURNING id, expires_at
"""


def ask(run: NewRun, question: Question) -> tuple[UUID, datetime | None]:
    """
    Ask for a step that has begun to wait; return the question's id and its end.

    What the step asked before, and nobody answered, is withdrawn.
    """
    fetch(_WITHDRAW_OF, {"step_run": run.id})
    params = {
        "approval": uuid7(),
        "execution": run.execution_id,
        "step_run": run.id,
        "path": run.path,
        "prompt": question.prompt,
        "form": json_or_null(question.form),
        "timeout_ms": question.timeout_ms,
        **_of(question.people),
    }
    approval, expires_at = fetch(_ASK, params)[0]
    return approval, expires_at


def _of(people: People) -> dict[str, Any]:
    return {
        "users": list(people.users),
        "groups": list(people.groups),
        "permission": people.permission,
    }


_OPEN: LiteralString = """
SELECT a.id, a.asked_at, a.expires_at,
  (extract(epoch FROM clock_timestamp() - a.asked_at) * 1000)::bigint,
  coalesce(a.expires_at <= clock_timestamp(), false)
FROM executions_approval a
WHERE a.step_run = %(step_run)s AND a.decision IS NULL
"""


def open_question(run: NewRun) -> Open | None:
    """Return what a step asks; None if it has its answer."""
    for id_, asked_at, expires_at, waited_ms, is_overdue in fetch(
        _OPEN, {"step_run": run.id}
    ):
        return Open(
            id=id_,
            asked_at=asked_at,
            expires_at=expires_at,
            waited_ms=waited_ms,
            is_overdue=is_overdue,
        )
    return None


_DECIDE: LiteralString = """
UPDATE executions_approval a SET
  decision = %(decision)s, decided_at = clock_timestamp(), decided_by_id = %(by)s,
  channel = %(channel)s, answer = %(answer)s::jsonb, comment = %(comment)s
WHERE a.id = %(approval)s AND a.decision IS NULL
RETURNING a.id
"""


def decide(verdict: Verdict) -> bool:
    """Record an answer; False when there is one."""
    params = {
        "approval": verdict.approval,
        "decision": verdict.decision,
        "by": verdict.by[0] if verdict.by else None,
        "channel": verdict.channel,
        "answer": json_or_null(verdict.answer),
        "comment": verdict.comment,
    }
    return bool(fetch(_DECIDE, params))


_WIDEN: LiteralString = """
UPDATE executions_approval a SET
  users = %(users)s::varchar[], groups = %(groups)s::varchar[],
  permission = %(permission)s,
  expires_at = clock_timestamp() + %(timeout_ms)s::bigint * interval '1 ms'
WHERE a.id = %(approval)s AND a.decision IS NULL
RETURNING a.expires_at
"""


def widen(
    approval_id: UUID, people: People, *, timeout_ms: int | None
) -> datetime | None:
    """Let others answer as well, for a time of their own; return when it ends."""
    params = {"approval": approval_id, "timeout_ms": timeout_ms, **_of(people)}
    for (expires_at,) in fetch(_WIDEN, params):
        return expires_at  # type: ignore[no-any-return]
    return None
