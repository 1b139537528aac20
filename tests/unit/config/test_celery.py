"""What the Celery application shares among its threads, and how it takes less."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from kombu.common import QoS

from config.celery import _narrow, app
from executions.joins import RecordBackend


def test_threads_share_the_backend():
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(lambda: app.backend).result()
    assert type(other) is RecordBackend
    assert other is app.backend


class Consumer:
    """A worker as `_narrow` sees it, whose consumer counts as Celery's does."""

    def __init__(self, slots: int) -> None:
        self.told: list[int] = []
        self.consumer = SimpleNamespace(qos=None)
        self.connect(slots)

    def connect(self, slots: int) -> None:
        """Begin with a new count, as after a lost connection."""
        self.qos = QoS(self._hear, slots)
        self.qos.update()
        self.consumer.qos = self.qos

    def _hear(self, prefetch_count: int) -> None:
        self.told.append(prefetch_count)


def test_a_worker_takes_less_and_then_as_much_as_before():
    worker = Consumer(10)

    widen = _narrow(worker, 3)
    worker.qos.update()
    widen(1)
    worker.qos.update()
    widen(2)
    worker.qos.update()

    assert worker.told == [10, 7, 8, 10]


def test_several_may_have_it_take_less():
    worker = Consumer(10)

    first, second = _narrow(worker, 3), _narrow(worker, 6)
    assert worker.qos.value == 1
    first(3)
    assert worker.qos.value == 4
    second(6)
    assert worker.qos.value == 10


def test_nothing_less_changes_nothing():
    worker = Consumer(10)

    widen = _narrow(worker, 0)
    assert worker.qos.value == 10
    widen(0)
    assert worker.qos.value == 10


def test_a_new_connection_begins_with_a_count_of_its_own():
    worker = Consumer(10)
    widen = _narrow(worker, 3)
    worker.connect(8)

    widen(3)

    assert worker.qos.value == 8


def test_messages_that_wait_for_their_time_are_counted_meanwhile():
    worker = Consumer(10)

    widen = _narrow(worker, 3)
    worker.qos.increment_eventually()  # Celery does so for each that it puts off
    widen(3)
    worker.qos.decrement_eventually()

    assert worker.qos.value == 10


def test_threads_that_have_it_take_less_at_once_lose_no_count():
    worker = Consumer(1000)

    def narrow_and_widen(_: int) -> None:
        undo: list[Callable[[int], None]] = [_narrow(worker, 3) for _ in range(10)]
        for widen in undo:
            widen(3)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(narrow_and_widen, range(200)))

    assert worker.qos.value == 1000
