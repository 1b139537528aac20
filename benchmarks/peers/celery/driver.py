"""
Raw Celery: its canvas with a prefork worker of two, the ceiling of what runs on it.

Steps that wait have a worker with a thread for each. Nothing here survives a lost
worker or message: what durability costs is what the comparison shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app import RESULTS, WAITING, join, noop, wait
from celery import chain, chord
from serving import Stopwatch, latencies_ms, pss_mb, serve

PREFORK, THREADS = 2, 1000
GRACE_S, LONGEST_S = 20, 60
POLL_S, TIGHT_S = 0.02, 0.002
NAMES = ("celery", "redis", "hiredis", "django", "django-celery-results", "psycopg")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR")


@contextmanager
def worker(name: str, queue: str, *pool: str) -> Iterator[int]:
    """Run a worker of this queue; yields its process id."""
    log = Path(os.environ["BENCH_SCRATCH"]) / f"celery-{name}.log"
    command = (sys.executable, "-m", "celery", "-A", "app", "worker")
    options = ("-n", f"{name}@bench", "-Q", queue, *pool, *QUIET)
    with log.open("ab") as output:
        process = subprocess.Popen(
            (*command, *options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_all(results: list[Any], poll: float = POLL_S) -> None:
    """Return when all have succeeded; in PostgreSQL one count tells."""
    if RESULTS == "redis":
        for result in results:
            result.get(timeout=LONGEST_S)
        return
    from django_celery_results.models import TaskResult

    ids = [result.id for result in results]
    done = TaskResult.objects.filter(task_id__in=ids, status="SUCCESS")
    watch = Stopwatch()
    while done.count() < len(ids):
        if watch.seconds > LONGEST_S:
            raise TimeoutError(f"not all of {len(ids)} ended in {LONGEST_S} s")
        time.sleep(poll)


def timed(submit: Callable[[], list[Any]], poll: float = POLL_S) -> dict[str, Any]:
    watch = Stopwatch()
    results = submit()
    submitted = watch.seconds
    await_all(results, poll)
    return {"seconds": watch.seconds, "submit_seconds": submitted}


def do_chain(executions: int, length: int) -> dict[str, Any]:
    poll = TIGHT_S if executions == 1 else POLL_S
    return timed(
        lambda: [
            chain([noop.si() for _ in range(length)]).apply_async()
            for _ in range(executions)
        ],
        poll,
    )


def do_fan(width: int, shape: str = "chord") -> dict[str, Any]:
    if shape != "chord":
        return {"unsupported": f"no fan of shape {shape}"}
    header = [noop.si() for _ in range(width)]
    return timed(lambda: [chord(header)(join.s())], TIGHT_S)


def do_wait(waiting: int, executions: int, seconds: float) -> dict[str, Any]:
    """Have a thread wait for each; memory is taken half-way."""
    watch = Stopwatch()
    results = [wait.delay(seconds) for _ in range(executions)]
    time.sleep(max(0, seconds / 2 - watch.seconds))
    memory = pss_mb([waiting])
    await_all(results)
    return {"seconds": watch.seconds, "memory_mb": {"threads worker": memory}}


def do_latency(count: int, through: str = "launch") -> dict[str, Any]:
    if through != "launch":
        return {"unsupported": "Celery is called, not reached by HTTP"}
    poll = {"interval": TIGHT_S} if RESULTS == "django" else {}
    watch = Stopwatch()
    found = latencies_ms(lambda: noop.delay().get(timeout=LONGEST_S, **poll), count)
    return {"seconds": watch.seconds, "latencies_ms": found}


def main() -> None:
    if RESULTS == "django":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    with ExitStack() as started:
        prefork = started.enter_context(
            worker("prefork", "celery", "-P", "prefork", "-c", str(PREFORK))
        )
        threads = started.enter_context(
            worker("threads", WAITING, "-P", "threads", "-c", str(THREADS))
        )
        await_all([chain([noop.si()] * 10).apply_async() for _ in range(20)])
        await_all([wait.delay(0) for _ in range(20)])
        works = {
            "chain": do_chain,
            "fan": do_fan,
            "wait": partial(do_wait, threads),
            "latency": do_latency,
        }
        processes = {"workers": [prefork, threads]}
        serve(works, processes, {name: version(name) for name in NAMES})


if __name__ == "__main__":
    main()
