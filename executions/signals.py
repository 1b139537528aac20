"""
Events from outside: kept, then handed out to the steps that wait for them.

Whoever posts an event tells the first who wait, in the order in which they began. The
reconciler tells the others, and all of them if the sender died in between.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from uuid_utils.compat import uuid7

from core_orchestration.validation import storable_problems
from executions import lifecycle, resumption
from executions.announce import announce
from executions.control import Refused
from executions.database import UNREACHABLE, one_transaction
from executions.launch import IdempotencyConflict
from executions.lifecycle import Listener, Posted
from executions.models import Execution, Signal
from executions.states import TERMINAL_EXECUTION
from roles import audit
from roles.problems import InvalidDocument, Problem
from roles.schemas.values import same

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

log = logging.getLogger(__name__)

LONGEST_NAME = 200
# A sender has the time to hand an event out itself.
_SENDER_HAS = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An event that is kept, and how many executions have taken it so far."""

    id: UUID
    name: str
    created_at: datetime
    delivered: int
    is_replay: bool = False  # it had been posted before, by the same request


def post(
    name: str,
    payload: Any = None,
    *,
    by: AbstractBaseUser | None = None,
    idempotency_key: str | None = None,
) -> Receipt:
    """
    Post an event to every execution of its sender's that waits for it, or will.

    What staff posts is for everybody's executions. With an idempotency key, a repeated
    request of one user gets the event that the first one posted. Raises
    InvalidDocument or IdempotencyConflict; then nothing was recorded.
    """
    return _post(_Request(name, payload, by, idempotency_key))


def send(
    execution_id: UUID,
    name: str,
    payload: Any = None,
    *,
    by: AbstractBaseUser | None = None,
    idempotency_key: str | None = None,
) -> Receipt:
    """Post an event to one execution; raises Refused as well, once it has ended."""
    return _post(_Request(name, payload, by, idempotency_key, execution_id))


def left() -> list[Posted]:
    """List events, the oldest first, that their senders have not handed out."""
    return lifecycle.signals_left(age=_SENDER_HAS)


def are_left() -> bool:
    """Tell whether there are such events."""
    return bool(lifecycle.signals_left(age=_SENDER_HAS, most=1))


@dataclass(frozen=True, slots=True)
class _Request:
    """What somebody posts; an idempotency key makes repetitions known."""

    name: str
    payload: Any
    by: AbstractBaseUser | None
    key: str | None
    execution: UUID | None = None

    @property
    def user(self) -> int | None:
        return self.by.pk if self.by else None

    def check(self) -> None:
        """Raise InvalidDocument for what cannot be kept."""
        problems = [
            *_name_problems(self.name),
            *(storable_problems(self.payload, "/payload") or _size(self.payload)),
        ]
        if problems:
            raise InvalidDocument(problems)

    def made_before(self) -> Receipt | None:
        """Return what an equal request with this key posted."""
        if self.key is None:
            return None
        mine = Signal.objects.filter(created_by=self.user, idempotency_key=self.key)
        first = mine.first()
        if first is None:
            return None
        if not self._asked_for(first):
            raise IdempotencyConflict(
                f"The Idempotency-Key {self.key!r} belongs to event {first.pk}, of "
                "another name, payload or execution; choose a new key."
            )
        return Receipt(
            id=first.pk,
            name=first.name,
            created_at=first.created_at,
            delivered=lifecycle.deliveries(first.pk),
            is_replay=True,
        )

    def _asked_for(self, first: Signal) -> bool:
        asked = (self.name, self.execution)
        was = (first.name, first.execution_id)
        return asked == was and same(first.payload, self.payload)

    def write(self) -> Posted | None:
        with one_transaction():
            posted = lifecycle.post_signal(
                uuid7(),
                self.name,
                self.payload,
                execution=self.execution,
                created_by=self.user,
                idempotency_key=self.key,
            )
            if posted is not None:
                self._note(posted)
        return posted

    def _note(self, posted: Posted) -> None:
        to = {"execution_id": str(self.execution)} if self.execution else {}
        audit.record(
            "event.post",
            object_type="event",
            object_id=posted.id,
            object_name=posted.name,
            after={**to, "payload": self.payload},
        )


def _name_problems(name: str) -> list[Problem]:
    if not 1 <= len(name) <= LONGEST_NAME:
        detail = f"A name has 1 to {LONGEST_NAME} characters, not {len(name)}."
        return [Problem("/name", "wrong_length", detail)]
    return storable_problems(name, "/name")


def _size(payload: Any) -> list[Problem]:
    """Refuse what could not be a step's output."""
    size = len(json.dumps(payload, ensure_ascii=False))
    if size <= settings.CORE_MAX_OUTPUT_BYTES:
        return []
    detail = (
        f"The payload has {size} characters; CORE_MAX_OUTPUT_BYTES allows "
        f"{settings.CORE_MAX_OUTPUT_BYTES}."
    )
    return [Problem("/payload", "too_large", detail)]


def _post(request: _Request) -> Receipt:
    request.check()
    if first := request.made_before():
        return first
    if request.execution is not None:
        _check_alive(request.execution)
    posted = request.write()
    if posted is None:
        # The key is taken by now, or was: its holder may have left just here.
        return request.made_before() or _post(request)
    _hand_out_first(posted)
    return Receipt(
        id=posted.id,
        name=posted.name,
        created_at=posted.created_at,
        delivered=lifecycle.deliveries(posted.id),
    )


def _check_alive(execution_id: UUID) -> None:
    found = Execution.objects.filter(pk=execution_id)
    status = found.values_list("status", flat=True).get()
    if status in TERMINAL_EXECUTION:
        raise Refused(
            f"The execution is {status} already and takes no more events.",
            code="already_finished",
        )


# --- handing out ----------------------------------------------------------------------


def _hand_out_first(posted: Posted) -> None:
    """Tell the first who wait; the event is kept, whatever happens here."""
    try:
        first = lifecycle.listeners(posted.id)
        _tell(posted, first)
        if len(first) < lifecycle.LISTENERS_AT_ONCE:
            lifecycle.handed_out(posted.id)
    except UNREACHABLE as error:
        log.warning("Event %s is handed out later: %s", posted.id, error)


def hand_out(posted: Posted) -> bool:
    """Tell all who wait for an event, a page at a time."""
    page = lifecycle.listeners(posted.id)
    while page:
        _tell(posted, page)
        page = lifecycle.listeners(posted.id, after=page[-1])
    return lifecycle.handed_out(posted.id)


def _tell(posted: Posted, listeners: Iterable[Listener]) -> None:
    for each in listeners:
        _tell_one(posted, each)


def _tell_one(posted: Posted, listener: Listener) -> None:
    """Tell one step; a fault in it keeps no other from hearing."""
    try:
        resumption.look_at(listener.execution, listener.path, news=posted)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("Execution %s could not take an event.", listener.execution)
    else:
        announce(listener.execution)
