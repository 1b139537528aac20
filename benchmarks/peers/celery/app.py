"""
The Celery application of the raw canvas, as its documentation would have it.

RESULTS names where results are kept: `redis`, or `django` for PostgreSQL.
"""

from __future__ import annotations

import os
import time

RESULTS = os.environ["RESULTS"]
if RESULTS == "django":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

from celery import Celery  # noqa: E402  (it looks at the variable)

SOCKET = os.environ["BENCH_REDIS_SOCKET"]
BACKENDS = {
    "redis": f"redis+socket://{SOCKET}?virtual_host=1",
    "django": "django-db",
}
WAITING = "waiting"

app = Celery("bench")
app.conf.update(
    broker_url=f"redis+socket://{SOCKET}?virtual_host=0",
    result_backend=BACKENDS[RESULTS],
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_routes={"bench.wait": {"queue": WAITING}},
)
if RESULTS == "django":
    # Celery closes the connection after every task, whatever CONN_MAX_AGE says,
    # unless this is set.
    app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000
    import django

    django.setup()


@app.task(name="bench.noop")
def noop() -> int:
    return 1


@app.task(name="bench.join")
def join(results: list[int]) -> int:
    return len(results)


@app.task(name="bench.wait")
def wait(seconds: float) -> int:
    time.sleep(seconds)
    return 1
