"""
The benchmark's works, done through Django in this process or over HTTP.

Launching is the product's own public function; what is over is seen in PostgreSQL by
one cheap count, or on an execution's live event stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any
from uuid import UUID

from benchmarks.core.agents import agents, recorded
from benchmarks.core.client import Client
from benchmarks.core.fleet import CPU, IO, Fleet
from benchmarks.protocol.serving import (
    Stopwatch,
    Work,
    latencies_ms,
    peaks_mb,
    pss_mb,
)
from core_orchestration.models import Orchestration
from executions import launch as launching
from executions.database import fetch

POLL_S, TIGHT_S, LONGEST_S = 0.008, 0.0005, 900.0
NOTHING: Mapping[str, Any] = {}
_OPEN = """
SELECT count(*) FILTER (WHERE status NOT IN ('completed')), min(error::text)
FROM executions_execution WHERE id = ANY(%(ids)s)
"""
_STATUS = "SELECT status FROM executions_execution WHERE id = %(id)s"


class DidNotComplete(Exception):
    """An execution of a benchmark ended otherwise, or not at all."""


class Works:
    """What can be asked of this driver; definitions are made once for each size."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chain_of = cache(fleet.chain)
        self._fan_of = cache(fleet.fan)
        self._wait_of = cache(fleet.wait)
        self._map_of = cache(fleet.map)
        self._agents_of = cache(partial(agents, fleet))

    def table(self) -> dict[str, Work]:
        return {
            "chain": self.chain,
            "fan": self.fan,
            "wait": self.wait,
            "latency": self.latency,
            "map": self.map,
            "agents": self.agents,
        }

    def chain(self, *, executions: int, length: int) -> dict[str, Any]:
        """Run this many at once, each of so many steps."""
        return _run(self._chain_of(length), executions)

    def fan(self, *, width: int, executions: int = 1) -> dict[str, Any]:
        return _run(self._fan_of(width), executions)

    def wait(self, *, executions: int, seconds: float) -> dict[str, Any]:
        """Have many steps wait at once; memory is what the middle of it takes."""
        memory: dict[str, float] = {}

        def sample(passed: float) -> None:
            if not memory and passed > seconds / 2:
                memory["io worker"] = pss_mb([self._fleet.pid(IO)])

        given = {"seconds": seconds}
        result = _run(self._wait_of(), executions, given, each_look=sample)
        return {**result, "memory_mb": memory}

    def latency(self, *, count: int, through: str = "launch") -> dict[str, Any]:
        """Time one execution of one step after another on an idle system."""
        orchestration = self._chain_of(1)
        watch = Stopwatch()
        if through == "post":
            with Client(self._fleet.port, self._fleet.token) as client:
                once = partial(client.run, orchestration)
                timed = latencies_ms(once, count)
        else:
            found = Orchestration.objects.get(pk=orchestration)
            timed = latencies_ms(partial(_launch_and_see, found), count)
        return {"seconds": watch.seconds, "latencies_ms": timed}

    def map(self, *, items: int, window: int) -> dict[str, Any]:
        """Map a step that does nothing over so many items; peaks are of a process."""
        given = {"items": list(range(items))}
        result = _run(self._map_of(window), 1, given)
        pids = {name: peaks_mb([self._fleet.pid(name)]) for name in (CPU, IO)}
        return {**result, "peak_mb": {name: max(pids[name]) for name in pids}}

    def agents(self, *, url: str, shape: str, count: int) -> dict[str, Any]:
        """
        Have so many agents ask a provider at once: a `group`, or an execution each.

        A group is posted, and executions are launched together. The peak is that of the
        io worker with all that it has started.
        """
        orchestration = self._agents_of(url, shape, count)
        watch = Stopwatch()
        if shape == "group":
            with Client(self._fleet.port, self._fleet.token) as client:
                ids = [UUID(client.execute(orchestration))]
        else:
            found = Orchestration.objects.get(pk=orchestration)
            ids = _launched(found, count, NOTHING)
        _await(ids, watch)
        seconds = watch.seconds
        by_record, answers = recorded(ids)
        if answers != count:
            raise DidNotComplete(f"{answers} of {count} answers are on record.")
        peak = sum(peaks_mb([self._fleet.pid(IO)]))
        return {"seconds": seconds, "recorded_seconds": by_record, "peak_mb": peak}


def _run(
    orchestration: str,
    executions: int,
    given: Mapping[str, Any] = NOTHING,
    *,
    each_look: Callable[[float], None] = lambda passed: None,
) -> dict[str, Any]:
    found = Orchestration.objects.get(pk=orchestration)
    watch = Stopwatch()
    ids = _launched(found, executions, given)
    submitted = watch.seconds
    _await(ids, watch, each_look)
    return {"seconds": watch.seconds, "submit_seconds": submitted}


def _await(
    ids: list[UUID],
    watch: Stopwatch,
    each_look: Callable[[float], None] = lambda passed: None,
) -> None:
    """Look until all are completed."""
    while _open(ids):
        each_look(watch.seconds)
        if watch.seconds > LONGEST_S:
            raise DidNotComplete(f"Not all completed in {LONGEST_S:.0f} s.")
        time.sleep(POLL_S)


def _launched(
    orchestration: Orchestration, executions: int, given: Mapping[str, Any]
) -> list[UUID]:
    """Launch them with one call, where the product has such a call."""
    many = getattr(launching, "launch_many", None)
    if many is not None and executions > 1:
        return [made.pk for made in many(orchestration, [given] * executions)]
    return [launching.launch(orchestration, given).pk for _ in range(executions)]


def _open(ids: list[UUID]) -> int:
    ((left, error),) = fetch(_OPEN, {"ids": ids})
    if error is not None:
        raise DidNotComplete(error)
    return int(left)


def _launch_and_see(orchestration: Orchestration) -> None:
    """Launch one, and look at PostgreSQL until it is over."""
    execution = launching.launch(orchestration, {})
    while fetch(_STATUS, {"id": execution.pk}) != [("completed",)]:
        time.sleep(TIGHT_S)
