"""
Restate: its own server, and a Python service in two processes.

The server keeps its log and its state itself, so PostgreSQL has no part in this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from typing import Any

import network
import servers
from ingress import Ingress
from serving import Stopwatch, latencies_ms, pss_mb, serve

SERVER_VERSION = "1.7.12"  # the one in package.json
LATE = 0.75  # of a wait: all have been submitted, none has ended
SHAPES = {"in_handler": "fan_in_handler", "children": "fan_children"}

Processes = dict[str, list[int]]


def chain(ingress: Ingress, executions: int, length: int) -> dict[str, Any]:
    return {"seconds": ingress.invoke_many(executions, "chain", length)}


def fan(ingress: Ingress, width: int, shape: str = "in_handler") -> dict[str, Any]:
    """`in_handler`: steps of one invocation; `children`: an invocation for each."""
    if shape not in SHAPES:
        return {"unsupported": f"no fan of shape {shape}"}
    ingress.reconnect()
    watch = Stopwatch()
    ingress.invoke(SHAPES[shape], width)
    return {"seconds": watch.seconds}


def wait(
    processes: Processes, ingress: Ingress, executions: int, seconds: float
) -> dict[str, Any]:
    memory: dict[str, float] = {}
    look = Timer(seconds * LATE, lambda: memory.update(_memory_mb(processes)))
    look.start()
    took = ingress.invoke_many(executions, "wait", seconds)
    look.join()
    return {"seconds": took, "memory_mb": memory}


def latency(ingress: Ingress, count: int, through: str = "launch") -> dict[str, Any]:
    """To launch is to post: Restate's only way in is HTTP."""
    ingress.reconnect()
    watch = Stopwatch()
    timed = latencies_ms(lambda: ingress.invoke("chain", 1), count)
    return {"seconds": watch.seconds, "latencies_ms": timed}


def _memory_mb(processes: Processes) -> dict[str, float]:
    return {role: pss_mb(pids) for role, pids in processes.items()}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops what is started
    network.leave()
    scratch = Path(os.environ["BENCH_SCRATCH"])
    with contextlib.ExitStack() as started:
        restate = started.enter_context(servers.running(scratch))
        processes = {"workers": [restate.service], "server": [restate.server]}
        ingress = started.enter_context(Ingress(restate.ingress))
        ingress.invoke_many(20, "chain", 10)
        works = {
            "chain": partial(chain, ingress),
            "fan": partial(fan, ingress),
            "wait": partial(wait, processes, ingress),
            "latency": partial(latency, ingress),
        }
        versions = {"restate": SERVER_VERSION, "restate-sdk": version("restate-sdk")}
        serve(works, processes, versions)


if __name__ == "__main__":
    main()
