"""
A stand-still in PostgreSQL itself: where a step is about to hear of its frames' ends.

What is in between a frame's end and its container's hearing of it is no more than one
transaction; who stands still in it may be killed there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.acceptance.system import until
from tests.faults.fleet import Fleet

_LOCK = 4711
_MAKE = f"""
CREATE FUNCTION test_stall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN NEW; END $$;
CREATE TRIGGER test_stall BEFORE UPDATE ON executions_steprun FOR EACH ROW
WHEN (NEW.heard AND OLD.heard IS false) EXECUTE FUNCTION test_stall();
"""
_DROP = "DROP TRIGGER test_stall ON executions_steprun; DROP FUNCTION test_stall()"
_STALLED = (
    "SELECT a.application_name, a.pid FROM pg_locks l "
    "JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.objid = %s AND NOT l.granted"
)


class Stall:
    """`names` are the processes that stand still."""

    def __init__(self, fleet: Fleet, holder: psycopg.Connection[Any]) -> None:
        self.fleet, self._holder = fleet, holder

    @property
    def names(self) -> list[str]:
        return [str(name) for name, _ in self.fleet.query(_STALLED, _LOCK)]

    def await_names(self, count: int) -> list[str]:
        until(lambda: len(self.names) >= count, what=f"{count} that stand still")
        return self.names

    def release(self) -> None:
        """Let everybody go on, and nobody stand still any more."""
        self._holder.execute("SELECT pg_advisory_unlock_all()")

    def kill(self, *names: str) -> None:
        """Kill processes, and what PostgreSQL still does for them."""
        for name in names:
            self.fleet.kill(name)
        for name, pid in self.fleet.query(_STALLED, _LOCK):
            if name in names:
                self.fleet.query("SELECT pg_terminate_backend(%s)", pid)
        until(lambda: not set(names) & set(self.names), what="their end")


@contextlib.contextmanager
def at_hearing(fleet: Fleet) -> Iterator[Stall]:
    """Have everybody stand still who hears of a frame's end, until this ends."""
    url = fleet.env["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        holder.execute(_MAKE)
        try:
            yield Stall(fleet, holder)
        finally:
            holder.execute("SELECT pg_advisory_unlock_all()")
            holder.execute(_DROP)
