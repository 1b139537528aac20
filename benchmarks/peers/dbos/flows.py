"""
The DBOS workflows that are measured, and the worker process that runs them.

`python flows.py EXECUTOR` takes workflows from the queue until its input ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from dbos import DBOS

QUEUE = "bench"
VERSION = "1"  # fixed, since a worker takes nothing of another version
POLL_S = 0.01  # with the default of one second little else would be measured
THREADS = 250  # more than there are executions that wait at once


@DBOS.step()
def noop() -> int:
    return 1


@DBOS.step()
async def noop_on_loop() -> int:
    return 1


@DBOS.step()
def pause(seconds: float) -> int:
    time.sleep(seconds)
    return 1


@DBOS.workflow()
def chain(length: int) -> int:
    return sum(noop() for _ in range(length))


@DBOS.workflow()
def wait(seconds: float) -> int:
    return pause(seconds)


@DBOS.workflow()
async def fan_of_steps(width: int) -> int:
    """Run steps side by side, which is possible on an event loop alone."""
    done = await asyncio.gather(*[noop_on_loop() for _ in range(width)])
    await noop_on_loop()
    return len(done)


@DBOS.workflow()
def child() -> int:
    return noop()


@DBOS.workflow()
def fan_of_children(width: int) -> int:
    handles = [DBOS.start_workflow(child) for _ in range(width)]
    done = [handle.get_result() for handle in handles]
    noop()
    return len(done)


@DBOS.workflow()
def fan_of_queued_children(width: int) -> int:
    """As above, spread over the worker processes."""
    handles = [DBOS.enqueue_workflow(QUEUE, child) for _ in range(width)]
    done = [handle.get_result() for handle in handles]
    noop()
    return len(done)


def database_url() -> str:
    _, rest = os.environ["BENCH_DATABASE_URL"].split("://", 1)
    return f"postgresql+psycopg://{rest}"


def launch(executor: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": database_url(),
            "application_version": VERSION,
            "executor_id": executor,
            "max_executor_threads": THREADS,
            "log_level": "WARNING",
            "run_admin_server": False,
        }
    )
    DBOS.launch()


def work(executor: str) -> None:
    """Take workflows from the queue while the parent holds our input open."""
    launch(executor)
    DBOS.register_queue(QUEUE, polling_interval_sec=POLL_S, on_conflict="always_update")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    DBOS.destroy()


if __name__ == "__main__":
    work(sys.argv[1])
