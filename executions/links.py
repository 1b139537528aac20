"""
Signed links with which somebody answers a question once, without an account.

A link says who made it, and is good while they might answer themselves; it dies with
the question, and after a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse
from django.utils import timezone

from executions import approvals
from executions.control import Refused
from executions.models import Approval
from roles import audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PAGE = "approve-link"
WEEK_MS = 7 * 24 * 3_600_000
LONGEST_MS = 366 * 24 * 3_600_000
_SALT = "executions.links"


class ForgedLink(Exception):
    """Nobody here has made it."""


class DeadLink(Exception):
    """It was good once; the message says why it is not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a link leads to, and who made it."""

    asked: Approval
    maker: User


def make(approval_id: UUID, *, by: User, expires_in_ms: int = WEEK_MS) -> Link:
    """Make a link to an open question that `by` may answer; Refused otherwise."""
    asked = _read(approval_id, by)
    if asked is None:
        raise approvals.NotAsked
    approvals.check_open(asked)
    until = timezone.now() + timedelta(milliseconds=expires_in_ms)
    token = TimestampSigner(salt=_SALT).sign_object(
        {"approval": str(approval_id), "by": by.pk, "until": until.timestamp()}
    )
    url = settings.CORE_PUBLIC_URL.rstrip("/") + reverse(PAGE, args=[token])
    audit.record(  # whoever has it answers in the name of who made it
        "approval.link",
        object_type="approval",
        object_id=approval_id,
        object_name=asked.prompt,
        after={"expires_at": until.isoformat()},
    )
    return Link(url=url, expires_at=until)


def open_(token: str) -> Opened:
    """Return what a link leads to. Raises ForgedLink or DeadLink."""
    try:
        signed = TimestampSigner(salt=_SALT).unsign_object(token)
    except (BadSignature, ValueError) as error:
        raise ForgedLink from error
    if datetime.fromtimestamp(signed["until"], UTC) <= timezone.now():
        raise DeadLink("This link has expired. Ask for a new one.")
    maker = get_user_model().objects.filter(pk=signed["by"]).first()
    asked = _read(UUID(signed["approval"]), maker) if maker else None
    if maker is None or asked is None:
        raise DeadLink("Whoever made this link may not answer any more.")
    try:
        approvals.check_open(asked)
    except Refused as refused:
        raise DeadLink(str(refused)) from refused
    return Opened(asked=asked, maker=maker)


def answer(
    opened: Opened, *, decision: approvals.Decision, answer: Any, comment: str
) -> None:
    """
    Answer by a link that was opened; nobody's name is known but who made it.

    Raises DeadLink when somebody came first, InvalidDocument if the form is not met.
    """
    how = f"By a link that {opened.maker.get_username()} made"
    try:
        approvals.answer(
            opened.asked.pk,
            by=None,
            decision=decision,
            channel="link",
            answer=answer,
            comment=f"{how}: {comment}" if comment else f"{how}.",
        )
    except Refused as refused:
        raise DeadLink(str(refused)) from refused


def _read(approval_id: UUID, user: User) -> Approval | None:
    rows = approvals.answerable_by(user).filter(pk=approval_id)
    return approvals.with_state(rows).select_related("decided_by").first()
