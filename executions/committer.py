"""
Group commit, as databases do it: what many threads want to write is committed at once.

A process that serves with threads has lanes, each with a thread and a connection of
its own. A lane takes what waits at the moment, never waits for more, and sends it as
one pipelined transaction. Elsewhere every statement goes its own way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Literal, LiteralString, get_args
from uuid import UUID

import psycopg
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from executions import database

log = logging.getLogger(__name__)

Rows = list[tuple[Any, ...]]
LaneName = Literal["relaxed", "durable", "reading"]

_LARGEST_GROUP = 64
# A row that somebody else holds does not hold up the whole lane for longer.
_LOCK_TIMEOUT_MS = 250


_lane_of: dict[str, LaneName] = {}


class WrongLane(ValueError):
    """A statement is "relaxed" if and only if it turns synchronous_commit off."""


def share(lane: LaneName, *statements: LiteralString) -> None:
    """
    Let statements be run with others of their lane, for a caller of `fetch`.

    Each is about the execution `params["execution"]`, and safe to repeat when its
    reply was lost. What turns synchronous_commit off does so for its transaction:
    it is "relaxed", and never meets what is to be "durable".
    """
    for sql in statements:
        if lane != "reading" and ("synchronous_commit" in sql) != (lane == "relaxed"):
            raise WrongLane(WrongLane.__doc__)
        _lane_of[sql] = lane


def fetch(sql: LiteralString, params: Mapping[str, Any]) -> Rows:
    """
    Run one statement and return its rows, together with others if it may be.

    Returns once it is committed, and raises what `database.fetch` raises.
    """
    lane = _lanes.get(_lane_of.get(sql, ""))
    if lane is None or _is_in_transaction():
        return database.fetch(sql, params)
    execution = params["execution"]
    rows = lane.run(Statement(sql=sql, params=params, execution=execution))
    return database.fetch(sql, params) if rows is None else rows


def _is_in_transaction() -> bool:
    """Ask this thread's connections, without making one for a thread that has none."""
    return any(own.in_atomic_block for own in connections.all(initialized_only=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    What one thread wants done, and where it hears of it.

    The answer is its rows, an error, or None: it was not done, so do it alone.
    """

    sql: LiteralString
    params: Mapping[str, Any]
    execution: UUID
    answer: SimpleQueue[Rows | Exception | None] = field(default_factory=SimpleQueue)


def grouped(waiting: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """
    Choose a group from what waits, and say what is left for the next one.

    A group is in the order of its executions, in every process, so that none waits
    for another in a circle. Statements about one execution share a transaction only
    if they are the same, as a parallel group's are: then no lock has to grow.
    """
    group: dict[UUID, list[Statement]] = {}
    left = list(waiting[_LARGEST_GROUP:])
    for statement in waiting[:_LARGEST_GROUP]:
        mine = group.setdefault(statement.execution, [])
        fits = not mine or mine[0].sql == statement.sql
        (mine if fits else left).append(statement)
    return [one for execution in sorted(group) for one in group[execution]], left


class Lane:
    """Does the statements of one kind, a group at a time."""

    def __init__(self, name: str, *, writes: bool) -> None:
        self._writes = writes
        self._ended = False
        self._asked: SimpleQueue[Statement | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._live, name=f"committer-{name}", daemon=True
        )
        self._thread.start()

    def run(self, statement: Statement) -> Rows | None:
        """Wait for the rows of a statement; None when it was not done."""
        self._asked.put(statement)
        if self._ended:  # nobody may have seen it
            return None
        answer = statement.answer.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """Do what was asked for so far, and close the connection."""
        self._asked.put(None)
        self._thread.join()

    def _live(self) -> None:
        own = database.connection_apart(lock_timeout_ms=_LOCK_TIMEOUT_MS)
        with suppress(*database.UNREACHABLE):  # then it is tried again when needed
            own.ensure_connection()
        waiting: list[Statement] = []
        while waiting or not self._ended:
            waiting += self._asked_by_now(wait=not waiting)
            group, waiting = grouped(waiting)
            for one, answer in zip(group, self._answers(own, group), strict=True):
                one.answer.put(answer)
        for one in self._asked_by_now(wait=False):
            one.answer.put(None)
        own.close()

    def _asked_by_now(self, *, wait: bool) -> list[Statement]:
        found: list[Statement] = []
        with suppress(Empty):
            while True:
                asked = self._asked.get(block=wait and not found)
                if asked is None:
                    self._ended = True
                    return found
                found.append(asked)
        return found

    def _answers(
        self, own: BaseDatabaseWrapper, group: list[Statement]
    ) -> Sequence[Rows | Exception | None]:
        """
        Run a group, and say what each of it came to.

        An error undoes all of it, so whose it was shows when each is done alone. If
        the connection is gone nobody knows what was committed, and all hear of that.
        """
        try:
            return self._run_group(own, group)
        except Exception as error:  # noqa: BLE001  (the waiting threads get it)
            if _is_usable(own):
                log.debug("A group of %d is taken apart: %s", len(group), error)
                return [None] * len(group)
            own.close()
            return [OperationalError(*error.args) for _ in group]

    def _run_group(
        self, own: BaseDatabaseWrapper, group: list[Statement]
    ) -> list[Rows]:
        with own.wrap_database_errors:
            own.ensure_connection()
            raw: Any = own.connection
            with database.awaited(raw):
                if len(group) == 1:
                    cursors = _executed(raw, group)
                elif self._writes:
                    with raw.pipeline(), raw.transaction():
                        cursors = _executed(raw, group)
                else:
                    with raw.pipeline():
                        cursors = _executed(raw, group)
            return [cursor.fetchall() for cursor in cursors]


def _executed(
    raw: psycopg.Connection[Any], group: list[Statement]
) -> list[psycopg.Cursor[Any]]:
    return [psycopg.Cursor(raw).execute(one.sql, one.params) for one in group]


def _is_usable(own: BaseDatabaseWrapper) -> bool:
    """Tell whether the connection is alive and in no transaction."""
    raw: Any = own.connection
    if raw is None or raw.closed:
        return False
    return bool(raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE)


_lanes: dict[str, Lane] = {}


def start() -> None:
    """Have this process's threads commit together; called once, after the fork."""
    for name in get_args(LaneName):
        _lanes[name] = Lane(name, writes=name != "reading")


def stop() -> None:
    """End the lanes; whoever comes later goes its own way."""
    lanes = list(_lanes.values())
    _lanes.clear()
    for lane in lanes:
        lane.end()
