"""What steps ask of people: who may answer, and the one answer that counts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    BooleanField,
    Case,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.utils import timezone

from executions import native, output, passage, pinned, resumption
from executions.announce import announce
from executions.control import Refused
from executions.database import one_transaction
from executions.lifecycle import STEERING, Verdict
from executions.lifecycle.locking import lock_execution
from executions.models import Approval, Execution, StepRun
from executions.paths import frame_of
from executions.plan import PlannedStep
from executions.signatures import Address
from executions.states import ACTIVE_EXECUTION, StepStatus, values
from roles import audit
from roles.problems import InvalidDocument, Problem
from roles.schemas import value_problems
from roles.storable import storable_problems

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Decision = Literal["approved", "rejected"]
Channel = Literal["api", "admin", "link"]
STATUSES = ("open", "approved", "rejected", "expired", "withdrawn")


class NotAsked(Refused):
    """Others are to answer."""

    def __init__(self) -> None:
        super().__init__("Others are asked, not you.", code="not_asked")


class AlreadyDecided(Refused):
    """Somebody, or the clock, came first."""

    def __init__(self, decision: str, by: str | None, at: datetime) -> None:
        who = f" by {by}" if by else ""
        super().__init__(
            f"It was decided before: {decision}{who} at {at.isoformat()}.",
            code="already_decided",
        )
        self.decision, self.decided_by, self.decided_at = decision, by, at


# Of rows that were read with their state: see `with_state`.
OPEN, DECIDED = Q(is_open=True), Q(decision__isnull=False)

# --- who may ----------------------------------------------------------------------


def answerable_by(user: User) -> QuerySet[Approval]:
    """Return the questions, open or not, that a user is asked."""
    rows = Approval.objects.all()
    if not user.is_active:
        return rows.none()
    if user.is_superuser:
        return rows
    words = Func(
        F("permission"),
        Value(" "),
        function="string_to_array",
        output_field=ArrayField(TextField()),
    )
    steered = Execution.objects.editable_by(user)
    to_nobody = Q(users=[], groups=[], permission="")
    return rows.alias(words=words).filter(
        Q(users__contains=[user.get_username()])
        | Q(groups__overlap=list(user.groups.values_list("name", flat=True)))
        | Q(words__overlap=sorted(user.get_all_permissions()))
        | (to_nobody | Q(words__contains=[STEERING])) & Q(execution__in=steered)
    )


def visible_to(user: User) -> QuerySet[Approval]:
    """Return what a user is asked, or has answered, with `is_open` on each."""
    seen = answerable_by(user).values("pk")
    return with_state(Approval.objects.filter(Q(pk__in=seen) | Q(decided_by=user.pk)))


def with_state(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Tell of each question whether it waits for an answer: `is_open`."""
    waits = StepRun.objects.filter(pk=OuterRef("step_run"), status=StepStatus.WAITING)
    is_open = Q(
        Exists(waits),
        decision=None,
        execution__status__in=values(ACTIVE_EXECUTION),
        execution__cancel_request__isnull=True,
    )
    decided = When(is_open, then=Value(True))
    return rows.annotate(
        is_open=Case(decided, default=Value(False), output_field=BooleanField())
    )


def status_of(approval: Any) -> str:
    """Name what became of a question that was read with its state."""
    if approval.is_open:
        return "open"
    return approval.decision or "withdrawn"


# --- the answer -------------------------------------------------------------------


def answer(
    approval_id: UUID,
    *,
    by: User | None,
    decision: Decision,
    channel: Channel,
    answer: Any = None,
    comment: str = "",
) -> None:
    """
    Answer a question, and let its execution go on.

    Of several who answer one does, and the others get AlreadyDecided; Refused when it
    is asked no longer. Without a person (`by`) the caller has seen to it that the
    answer may be given. Raises InvalidDocument when `answer` does not fit the form.
    """
    asked = Approval.objects.get(pk=approval_id)
    if by is not None and not answerable_by(by).filter(pk=asked.pk).exists():
        raise NotAsked
    if asked.decision is not None:
        raise _too_late(asked)
    _check(asked, decision, answer, comment)
    verdict = Verdict(
        approval=asked.pk,
        decision=decision,
        channel=channel,
        by=(by.pk, by.get_username()) if by else None,
        answer=answer,
        comment=comment,
    )
    _let_clock_act(asked)
    _record(asked, verdict)


def _check(asked: Approval, decision: Decision, answer: Any, comment: str) -> None:
    problems = storable_problems(comment, "/comment")
    if decision == "rejected" or asked.form is None:
        if answer is not None:
            detail = "Only an approval with a form takes an answer; use the comment."
            problems = [*problems, Problem("/answer", "not_allowed", detail)]
    else:
        problems = [*problems, *_misfits(asked, answer)]
    if problems:
        raise InvalidDocument(problems)


def _misfits(asked: Approval, answer: Any) -> list[Problem]:
    if problems := storable_problems(answer, "/answer"):
        return problems
    try:
        output.check_storable(answer)
    except output.Unstorable as error:
        return [Problem("/answer", error.type, str(error))]
    return value_problems(asked.form, answer, "/answer")


def _let_clock_act(asked: Approval) -> None:
    """Let a time that is over have its effect first, though nobody saw to it."""
    if asked.expires_at and asked.expires_at <= timezone.now():
        passage.wake(*_place_of(asked))


def _record(asked: Approval, verdict: Verdict) -> None:
    with one_transaction():
        lock_execution(asked.execution_id)
        address, planned = _place_of(asked)
        upshot = native.take(address, planned, verdict)
        if upshot is not None:
            passage.follow(address, planned, upshot)
            _note(asked, verdict)
    if upshot is None:
        raise _too_late(Approval.objects.get(pk=asked.pk))
    _go_on(address, planned)


def _note(asked: Approval, verdict: Verdict) -> None:
    audit.record(
        "approval.answer",
        object_type="approval",
        object_id=asked.pk,
        object_name=asked.prompt,
        before={"decision": None},
        after={
            "decision": verdict.decision,
            "answer": verdict.answer,
            "comment": verdict.comment or None,
        },
        detail=f"Asked by {asked.path} of the execution {asked.execution_id}.",
    )


def _go_on(address: Address, planned: PlannedStep) -> None:
    execution_id = UUID(address.execution)
    if address.frame or planned.block.is_group:
        resumption.rest(execution_id)  # others beside it may be asked still
    announce(execution_id)


def _place_of(asked: Approval) -> tuple[Address, PlannedStep]:
    """Find the step that asks, on the canvas that is under way."""
    address = resumption.address_of(asked.execution_id).at(frame_of(asked.path))
    return address, pinned.plan_of(address).by_path[asked.path]


def check_open(asked: Any) -> None:
    """Raise why a question that was read with its state waits for no answer."""
    if not asked.is_open:
        raise _too_late(asked)


def _too_late(asked: Approval) -> Refused:
    if asked.decision is None or asked.decision == "withdrawn":
        return Refused(
            "It is asked no longer: its step does not wait any more.",
            code="no_longer_asked",
        )
    by = asked.decided_by
    at = asked.decided_at or timezone.now()
    return AlreadyDecided(asked.decision, by.get_username() if by else None, at)
