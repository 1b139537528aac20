"""
A worker process and its lease: one heartbeat for all the steps that it runs.

A step run names its worker, and is that worker's own while the worker's row says
so. One statement every few seconds renews the row and brings back the steps that
were taken away. A process that cannot renew stops its steps before the lease ends
and goes on under a new identity, so that the old one's steps are seen to be lost.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, time
from typing import LiteralString
from uuid import UUID

from django.conf import settings
from django.db import OperationalError
from uuid_utils.compat import uuid7

from executions import failpoints
from executions.database import UNREACHABLE, cut_unanswered, fetch, json_or_null
from executions.lifecycle import Claim
from executions.worker.attempts import StopButton

log = logging.getLogger(__name__)

_TICK_S = 1.0
_OVERDUE_GRACE_S = 3.0  # what an attempt gets to end by itself after its deadline
_STOP_EARLY = 0.85  # of the lease: when steps are stopped that could not be renewed

_BEAT: LiteralString = """
WITH beat AS (
  INSERT INTO executions_worker AS w
    (id, host, pid, queues, slots, busy, delivered, taken, last_heartbeat_at,
     lease_until)
  VALUES (%(id)s, %(host)s, %(pid)s, %(queues)s::jsonb, %(slots)s,
    cardinality(%(ids)s::uuid[]), %(delivered)s::jsonb, %(taken)s::jsonb,
    clock_timestamp(), clock_timestamp() + %(lease)s::interval)
  ON CONFLICT (id) DO UPDATE SET
    busy = excluded.busy, delivered = excluded.delivered, taken = excluded.taken,
    last_heartbeat_at = excluded.last_heartbeat_at, lease_until = excluded.lease_until
  RETURNING w.id)
SELECT held.id FROM unnest(%(ids)s::uuid[], %(fences)s::int[]) AS held(id, fence)
LEFT JOIN executions_steprun s ON s.id = held.id
LEFT JOIN executions_execution e ON e.id = s.execution_id
WHERE s.status IS DISTINCT FROM 'running' OR s.fence <> held.fence
  OR e.cancel_request IS NOT NULL
"""
_LEAVE: LiteralString = "DELETE FROM executions_worker WHERE id = %(id)s RETURNING id"


class LeaseLost(OperationalError):
    """The lease was not renewed in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An attempt under way in this process."""

    claim: Claim
    deadline: float  # monotonic seconds
    stop: StopButton
    on_overdue: Callable[[Claim], object]
    interrupts_process: bool  # it runs in the main thread, which nothing else frees


@dataclass(slots=True)
class Worker:
    """A process as the others see it; its thread keeps the lease."""

    queues: list[str]
    slots: int = 1
    id: UUID = field(default_factory=uuid7)
    _held: dict[UUID, Held] = field(default_factory=dict)
    _delivered: dict[str, float] = field(default_factory=dict)
    _taken: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _leaving: threading.Event = field(default_factory=threading.Event)
    _pause: threading.Event = field(default_factory=threading.Event)  # never set
    _renewed: float = 0.0
    _given_up: bool = False  # the lease, since it was last renewed

    def start(self) -> None:
        """Take the lease and keep it; the first beat is taken before any claim."""
        self._beat_or_complain()
        turns = {"heartbeat": self._tick, "lease": self._give_up_lost_lease}
        for name, turn in turns.items():
            thread = threading.Thread(
                target=self._every_tick, args=(turn,), name=name, daemon=True
            )
            thread.start()

    def leave(self) -> None:
        """Give the lease back at the end of the process."""
        self._leaving.set()
        if not self._held:
            fetch(_LEAVE, {"id": self.id})

    @property
    def is_leaving(self) -> bool:
        """Tell whether the process is about to end."""
        return self._leaving.is_set()

    @property
    def may_work(self) -> bool:
        """Tell, without asking the database, whether taking a message has any use."""
        return not self._given_up

    def identity(self) -> UUID:
        """
        Return the id to claim with, its lease in force.

        Raises OperationalError when it is not and cannot be taken.
        """
        age = monotonic() - self._renewed
        if age > settings.CORE_LEASE.total_seconds() * _STOP_EARLY:
            self._beat()
        if self._given_up:  # while that beat was under way
            raise LeaseLost(LeaseLost.__doc__)
        return self.id

    @contextmanager
    def holding(self, held: Held) -> Iterator[None]:
        """Keep an attempt's lease while it runs."""
        self.hold(held)
        try:
            yield
        finally:
            self.let_go(held)

    def hold(self, held: Held) -> None:
        with self._lock:
            self._held[held.claim.run.id] = held

    def let_go(self, held: Held) -> None:
        with self._lock:
            if self._held.get(held.claim.run.id) is held:  # no later attempt's
                del self._held[held.claim.run.id]

    @property
    def busy(self) -> int:
        """How many attempts are under way."""
        return len(self._held)

    def is_running(self, step_run_id: UUID) -> bool:
        return step_run_id in self._held

    def note_delivery(self, queue: str, published_at: float) -> None:
        """Remember the newest message's time: older ones of the queue are past."""
        with self._lock:
            newest = max(published_at, self._delivered.get(queue, 0.0))
            self._delivered = {**self._delivered, queue: newest}
            self._taken = {**self._taken, queue: time()}

    def _every_tick(self, turn: Callable[[], object]) -> None:
        """
        Take turns while the process works, also after it was asked to leave.

        The lease has a thread of its own: a beat may wait for a PostgreSQL that is
        silent, and nobody but this process can stop its steps then.
        """
        while self._held or not self._leaving.is_set():
            try:
                turn()
            except Exception:
                log.exception("The heartbeat goes on after a fault.")
            self._pause.wait(_TICK_S)

    def _tick(self) -> None:
        if monotonic() - self._renewed >= settings.CORE_HEARTBEAT.total_seconds():
            self._beat_or_complain()
        self._end_overdue()

    def _beat_or_complain(self) -> None:
        try:
            self._beat()
        except UNREACHABLE as error:
            log.warning("The lease could not be renewed: %s", error)

    def _beat(self) -> None:
        with self._lock:
            held = list(self._held.values())
        failpoints.reach("in_beat")
        started, identity = monotonic(), self.id
        rows = fetch(
            _BEAT,
            {
                "id": identity,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "queues": json_or_null(self.queues),
                "slots": self.slots,
                "delivered": json_or_null(self._delivered),
                "taken": json_or_null(self._taken),
                "lease": settings.CORE_LEASE,
                "ids": [one.claim.run.id for one in held],
                "fences": [one.claim.fence for one in held],
            },
        )
        with self._lock:
            if self.id == identity:  # else the lease was given up meanwhile
                self._renewed, self._given_up = started, False
        taken = {row[0] for row in rows}
        for one in held:
            if one.claim.run.id in taken:
                log.warning("Step %s is to stop.", one.claim.run.path)
                one.stop.press()

    def _give_up_lost_lease(self) -> None:
        lease_s = settings.CORE_LEASE.total_seconds()
        age = monotonic() - self._renewed
        if age < lease_s * _STOP_EARLY:
            return
        with self._lock:
            held = list(self._held.values())
            if not self._given_up:
                self.id, self._given_up = uuid7(), True
        for one in held:
            log.error("The lease ends; stopping step %s.", one.claim.run.path)
            one.stop.press()
        cut_unanswered(older_than_s=2 * _TICK_S)
        if age >= lease_s - _TICK_S:
            self._kill_if_stuck(held)

    def _end_overdue(self) -> None:
        now = monotonic()
        with self._lock:
            held = list(self._held.values())
        overdue = [one for one in held if now > one.deadline + _OVERDUE_GRACE_S]
        for one in overdue:
            log.error("Step %s ignores its time limit.", one.claim.run.path)
            one.on_overdue(one.claim)
        self._kill_if_stuck(overdue)

    def _kill_if_stuck(self, held: list[Held]) -> None:
        """End a prefork child whose work does not stop; its pool starts another."""
        if any(one.interrupts_process for one in held):
            os.kill(os.getpid(), signal.SIGKILL)


_current: Worker | None = None


def join_fleet(queues: list[str], *, slots: int = 1) -> Worker:
    """Make this process a worker; called once, after the fork."""
    global _current
    _current = Worker(queues=queues, slots=slots)
    _current.start()
    return _current


def this_worker() -> Worker:
    """Return this process's worker, made now when it was not told to join."""
    return _current or join_fleet([])


def leave_fleet() -> None:
    if _current is not None:
        _current.leave()
