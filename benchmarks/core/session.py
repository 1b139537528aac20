"""One driver's life: an installation from nothing, its works, and its end."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import django

from benchmarks.core.fleet import Fleet, environment
from benchmarks.protocol.serving import Work, serve

SHOWN = ("django", "celery", "psycopg", "redis", "uvicorn")


def main() -> None:
    """Serve until the input ends, on the servers that the environment names."""
    env = environment(os.environ["BENCH_DATABASE_URL"], os.environ["BENCH_REDIS_URL"])
    os.environ.update(env)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    prefork = int(os.environ.get("BENCH_PREFORK", "2"))
    fleet = Fleet(Path(os.environ["BENCH_SCRATCH"]), env, prefork=prefork)
    try:
        fleet.start()
        django.setup()
        works = _works(fleet)
        serve(works, fleet.processes(), versions())
    finally:
        fleet.stop()


def _works(fleet: Fleet) -> dict[str, Work]:
    from benchmarks.core.works import Works  # its models need Django to be set up

    works = Works(fleet)
    works.chain(executions=20, length=10)
    works.wait(executions=20, seconds=0.1)
    works.latency(count=3, through="post")
    return works.table()


def versions() -> dict[str, str]:
    """Tell what is compared."""
    named = {name: version(name) for name in SHOWN}
    return {"core-orchestration": "0.1.0", "python": sys.version.split()[0], **named}
