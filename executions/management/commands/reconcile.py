"""Keep executions moving: run one of these, or several of which one is at work."""

from __future__ import annotations

import logging
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from time import monotonic
from types import FrameType
from typing import Any

import redis
from django.core.management.base import BaseCommand
from django.db import connection

from executions import backlog, recovery, retention
from executions.archive import NotArchived
from executions.database import UNREACHABLE, fetch
from executions.election import LOCK

log = logging.getLogger(__name__)

_TICK_S = 1.0
_SWEEP_S = 5.0
_RETENTION_S = 60.0


class Command(BaseCommand):
    help = (
        "Free steps of dead workers, fire timers and deadlines, send again what the "
        "broker lost, and remove what is old. Several may run; a lock in PostgreSQL "
        "elects one."
    )
    # The database may be away when this starts.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one round and stop")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        stop = Event()

        def leave(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
        reconciler = Reconciler()
        if once:
            reconciler.sweep()
            return
        while not stop.wait(_TICK_S):
            reconciler.tick()


class Reconciler:
    """One process's rounds; a round that fails is made again a moment later."""

    def __init__(self) -> None:
        self._broker = backlog.broker()
        self._elected = False
        self._next_sweep = monotonic() + _SWEEP_S
        self.retention = Retention()

    def tick(self) -> None:
        """Do what is due now, if this process is the elected one."""
        try:
            if not self._elected and not self._elect():
                return
            recovery.wake_due()
            recovery.hear_ended_frames()
            recovery.free_lost_steps()
            if monotonic() >= self._next_sweep:
                self._next_sweep = monotonic() + _SWEEP_S
                self.sweep()
            self.retention.tick()
        except UNREACHABLE as error:
            # The lock went with the connection, and workers' leases may just be
            # late: give them a beat before anything is called lost.
            log.warning("PostgreSQL cannot be reached: %s", error)
            self._elected = False
            self._next_sweep = monotonic() + 2 * _SWEEP_S

    def sweep(self) -> None:
        """Look for lost messages, if the broker can say which those are."""
        recovery.free_overrun_steps()
        try:
            recovery.resend_lost(self._broker)
        except redis.RedisError as error:
            log.warning("Valkey cannot be reached: %s", error)

    def _elect(self) -> bool:
        connection.close_if_unusable_or_obsolete()
        rows = fetch("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK})
        self._elected = bool(rows[0][0])
        return self._elected


class Retention:
    """
    Lets old executions leave, a batch at a time, beside the rounds.

    It has a thread and a connection of its own: a disk that is slow or hangs, or an
    execution with very many steps, must not keep those of dead workers waiting.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retention")
        self._batches: Iterator[retention.Swept] = iter(())
        self._batch: Future[bool] | None = None
        self._next_sweep = monotonic() + _RETENTION_S

    def tick(self) -> None:
        """Begin the next batch if there may be one and the last is done."""
        if self._batch and not self._batch.done():
            return
        if not (self._batch and self._batch.result()):
            if monotonic() < self._next_sweep:
                return
            self._next_sweep = monotonic() + _RETENTION_S
            self._batches = retention.sweep()
        self._batch = self._thread.submit(self._remove)

    def _remove(self) -> bool:
        """Remove a batch, and tell whether there may be more."""
        try:
            swept = next(self._batches, None)
        except NotArchived as error:
            log.error("%s", error)  # noqa: TRY400  (it says what to do)
        except UNREACHABLE as error:
            log.warning("Retention waits for PostgreSQL: %s", error)
        except Exception:
            log.exception("Retention failed; it is tried again in a minute.")
        else:
            if swept:
                log.info("Removed what is old: %s", swept)
            return swept is not None
        finally:
            connection.close()
        return False
