"""
DBOS, measured in one of two ways, named by DBOS_MODE.

`inproc` (the default): threads of the process that starts workflows run them.
`queue`: two worker processes take them from a queue, as this product's workers do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from typing import Any

import flows
from dbos import DBOS, DBOSClient
from serving import Stopwatch, latencies_ms, pss_mb, serve

WORKERS = 2
UNFINISHED = ["ENQUEUED", "PENDING"]
RESULT_POLL_S, BATCH_POLL_S = 0.005, 0.02
GRACE_S = 15
LATE = 0.75  # of a wait: all have been submitted, none has ended


class InProcess:
    """Handles resolve in this process, without a look at the database."""

    children = flows.fan_of_children

    def __init__(self) -> None:
        flows.launch("driver")
        self.processes = {"workers": [os.getpid()]}

    def run(self, workflow: Callable[..., Any], argument: float) -> None:
        DBOS.start_workflow(workflow, argument).get_result()

    def run_many(
        self, count: int, workflow: Callable[..., Any], argument: float
    ) -> float:
        """Return the seconds from the first submission to the last result."""
        watch = Stopwatch()
        handles = [DBOS.start_workflow(workflow, argument) for _ in range(count)]
        for handle in handles:
            handle.get_result()
        return watch.seconds

    def stop(self) -> None:
        DBOS.destroy()


class Queued:
    """A client here, workers in processes of their own; results are polled for."""

    children = flows.fan_of_queued_children

    def __init__(self) -> None:
        self.log = (Path(os.environ["BENCH_SCRATCH"]) / "dbos-workers.log").open("ab")
        self.workers: list[subprocess.Popen[bytes]] = []
        for number in range(WORKERS):  # in turn: the first creates the tables
            self.workers.append(self._worker(number))
        self.client = DBOSClient(system_database_url=flows.database_url())
        self.processes = {"workers": [worker.pid for worker in self.workers]}

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [sys.executable, flows.__file__, f"worker-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        if not worker.stdout.readline():
            raise RuntimeError(f"worker {number} did not start; see {self.log.name}")
        return worker

    def _enqueue(self, workflow: Callable[..., Any], argument: float) -> Any:
        name = workflow.__qualname__
        return self.client.enqueue(
            {
                "queue_name": flows.QUEUE,
                "workflow_name": name,
                "app_version": flows.VERSION,
            },
            argument,
        )

    def run(self, workflow: Callable[..., Any], argument: float) -> None:
        handle = self._enqueue(workflow, argument)
        handle.get_result(polling_interval_sec=RESULT_POLL_S)

    def run_many(
        self, count: int, workflow: Callable[..., Any], argument: float
    ) -> float:
        """Return the seconds from the first submission to the last completion."""
        watch = Stopwatch()
        handles = [self._enqueue(workflow, argument) for _ in range(count)]
        while self._listed(status=UNFINISHED, limit=1):
            time.sleep(BATCH_POLL_S)
        seconds = watch.seconds
        ids = [handle.workflow_id for handle in handles]
        succeeded = self._listed(workflow_ids=ids, status="SUCCESS")
        if succeeded != count:
            raise RuntimeError(f"{succeeded} of {count} workflows succeeded")
        return seconds

    def _listed(self, **which: Any) -> int:
        found = self.client.list_workflows(load_input=False, load_output=False, **which)
        return len(found)

    def stop(self) -> None:
        self.client.destroy()
        for worker in self.workers:
            worker.stdin.close()
        for worker in self.workers:
            try:
                worker.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.log.close()


Engine = InProcess | Queued


def chain(engine: Engine, executions: int, length: int) -> dict[str, Any]:
    return {"seconds": engine.run_many(executions, flows.chain, length)}


def fan(engine: Engine, width: int, shape: str = "in_handler") -> dict[str, Any]:
    """`in_handler`: steps of one workflow; `children`: a workflow for each."""
    shapes = {"in_handler": flows.fan_of_steps, "children": type(engine).children}
    if shape not in shapes:
        return {"unsupported": f"no fan of shape {shape}"}
    watch = Stopwatch()
    engine.run(shapes[shape], width)
    return {"seconds": watch.seconds}


def wait(engine: Engine, executions: int, seconds: float) -> dict[str, Any]:
    memory: dict[str, float] = {}
    workers = engine.processes["workers"]
    look = Timer(seconds * LATE, lambda: memory.update(workers=pss_mb(workers)))
    look.start()
    took = engine.run_many(executions, flows.wait, seconds)
    look.join()
    return {"seconds": took, "memory_mb": memory}


def latency(engine: Engine, count: int, through: str = "launch") -> dict[str, Any]:
    if through != "launch":
        return {"unsupported": "DBOS starts workflows by a function call, not by HTTP"}
    watch = Stopwatch()
    timed = latencies_ms(lambda: engine.run(flows.chain, 1), count)
    return {"seconds": watch.seconds, "latencies_ms": timed}


def main() -> None:
    modes: Mapping[str, type[Engine]] = {"inproc": InProcess, "queue": Queued}
    engine = modes[os.environ.get("DBOS_MODE", "inproc")]()
    try:
        engine.run_many(20, flows.chain, 10)
        works = {work.__name__: partial(work, engine) for work in WORKS}
        serve(works, engine.processes, {"dbos": version("dbos")})
    finally:
        engine.stop()


WORKS = (chain, fan, wait, latency)

if __name__ == "__main__":
    main()
