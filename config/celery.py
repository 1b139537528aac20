"""The Celery application, and why each of its settings is what it is."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)
from kombu import Queue

from config import broker
from executions.signatures import CONTROL_QUEUE, QUEUES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TWELVE_HOURS = 12 * 3600

broker.register()
app = Celery("core")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.update(
    # A message is gone only after its step's record exists.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure_or_timeout=True,
    # PostgreSQL is the record; Celery stores nothing of its own about our tasks.
    task_track_started=False,
    task_ignore_result=True,
    result_extended=False,
    # Of a backend that stores nothing, one does for all threads; to make it takes
    # as long as a third of a short step.
    result_backend_thread_safe=True,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    # A worker takes what it has slots for, so that nothing waits behind a long step.
    worker_prefetch_multiplier=1,
    worker_eta_task_limit=10_000,
    task_queues=[Queue(name) for name in QUEUES],
    task_default_queue=CONTROL_QUEUE,
    task_create_missing_queues=False,
    # Recovery does not wait for redelivery, which comes after this time and would
    # come again and again for longer steps.
    broker_transport_options={
        "visibility_timeout": TWELVE_HOURS,
        "queue_order_strategy": "priority",
        "priority_steps": [0],
        "socket_timeout": 30,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": True,
        "max_connections": 1000,
    },
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    broker_connection_timeout=2,
    broker_pool_limit=10,
    task_publish_retry_policy={
        "max_retries": 2,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
    },
    worker_soft_shutdown_timeout=8.0,
    worker_enable_soft_shutdown_on_idle=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    # Celery would close the database connection after each task.
    CELERY_DB_REUSE_MAX=1_000_000_000,
    timezone="UTC",
)


def _queues() -> list[str]:
    return sorted(app.amqp.queues.consume_from)


@worker_process_init.connect
def _join_as_child(**_: Any) -> None:
    """Each prefork child is a worker of its own, with a lease of its own."""
    from executions.worker.leases import join_fleet

    join_fleet(_queues())


@worker_init.connect
def _join_as_whole(sender: Any, **_: Any) -> None:
    """Make a process that serves with threads one worker; its threads commit as one."""
    from django.conf import settings

    from executions import committer
    from executions.worker.leases import join_fleet
    from executions.worker.room import room

    if "prefork" not in sender.pool_cls.__module__:
        if settings.DB_POOL_SIZE:
            committer.start()
        join_fleet(_queues(), slots=sender.concurrency)
        room.narrow_with(partial(_narrow, sender))
        # What agents need takes seconds to import; the first of them need not wait.
        threading.Thread(target=_preload, name="preload", daemon=True).start()


_GARBAGE = 50_000  # objects, before what may be garbage is looked through


def _preload() -> None:
    """Import it, and look at none of it again whenever the garbage is collected."""
    from roles.runners import agent

    agent.preload()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 20)


# Celery takes the count's own lock away: its main thread thinks itself alone with it.
_counting = threading.Lock()


def _narrow(worker: Any, count: int) -> Callable[[int], None]:
    """Have a worker's consumer take some messages less; returned is what undoes it."""
    qos = worker.consumer.qos
    with _counting:
        qos.decrement_eventually(count)

    def widen(count: int) -> None:
        if worker.consumer.qos is qos:  # a new connection begins with a new count
            with _counting:
                qos.increment_eventually(count)

    return widen


@worker_shutdown.connect
def _end_committer(**_: Any) -> None:
    from executions import committer

    committer.stop()


@worker_process_shutdown.connect
@worker_shutting_down.connect
def _leave(**_: Any) -> None:
    from executions.worker import leases, patience

    patience.let_go()
    leases.leave_fleet()
