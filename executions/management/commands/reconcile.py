"""Keep executions moving: run one of these, or several of which one is at work."""

from __future__ import annotations

import logging
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread
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
        self._handing_out = HandingOut()

    def tick(self) -> None:
        """Do what is due now, if this process is the elected one."""
        try:
            if not self._elected and not self._elect():
                return
            recovery.wake_due()
            recovery.hear_ended_frames()
            recovery.hear_ended_children()
            self._handing_out.tick()
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
        recovery.end_forsaken_children()
        recovery.settle_lost_calls()
        recovery.wake_for_budgets()
        try:
            recovery.resend_lost(self._broker)
        except redis.RedisError as error:
            log.warning("Valkey cannot be reached: %s", error)

    def _elect(self) -> bool:
        connection.close_if_unusable_or_obsolete()
        rows = fetch("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK})
        self._elected = bool(rows[0][0])
        return self._elected


class HandingOut:
    """
    Hands out events from outside beside the rounds: there may be very many who wait.

    What it has begun when the process ends, the next one does anew: nobody takes an
    event twice.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None

    def tick(self) -> None:
        """Begin if there is something left, and nobody is at it."""
        if self._thread and self._thread.is_alive():
            return
        if recovery.signals_are_left():
            self._thread = Thread(target=self._work, name="handing out", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        try:
            recovery.hand_out_signals()
        except UNREACHABLE as error:
            log.warning("Events wait for PostgreSQL: %s", error)
        except Exception:
            log.exception("Events could not be handed out; it is tried again.")
        finally:
            connection.close()


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
