"""What the Celery application shares among its threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from config.celery import app
from executions.joins import RecordBackend


def test_threads_share_the_backend():
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(lambda: app.backend).result()
    assert type(other) is RecordBackend
    assert other is app.backend
