"""
One repetition between two readings of every meter, and its figures per step.

The client is the driver without the processes that it named. Reading takes place
outside of the time that the driver itself measures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

from benchmarks.measuring.counters import Counters, settle
from benchmarks.measuring.processes import Processes, foreign_cores, machine_seconds
from benchmarks.servers import Servers

MS = 1000
CLIENT, POSTGRES, VALKEY = "client", "PostgreSQL", "Valkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The root processes by role; `driver` is the client and the others' parent."""

    driver: int
    named: Mapping[str, Sequence[int]]
    own: int

    @property
    def claimed(self) -> set[int]:
        return {pid for pids in self.named.values() for pid in pids}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All meters at one moment; processor seconds are by role."""

    at: float
    cpu: Mapping[str, float]
    meter: float
    machine: float
    counters: Counters

    @classmethod
    def now(cls, servers: Servers, database: str, roots: Roots) -> Self:
        settle()
        counters = Counters.now(servers, database)
        processes = Processes.now()
        cpu = {role: processes.cpu_seconds(pids) for role, pids in roots.named.items()}
        driver = processes.cpu_seconds([roots.driver], without=roots.claimed)
        return cls(
            at=time.perf_counter(),
            cpu=cpu
            | {
                CLIENT: driver,
                POSTGRES: processes.cpu_seconds([servers.postgres_pid]),
                VALKEY: processes.cpu_seconds([servers.valkey_pid]),
            },
            meter=processes.seconds.get(roots.own, 0),
            machine=machine_seconds(),
            counters=counters,
        )


def figures(before: Reading, after: Reading, steps: int) -> dict[str, float]:
    """Take the cost per step, and how much other work disturbed the repetition."""
    cpu = {role: after.cpu[role] - before.cpu[role] for role in after.cpu}
    counted = after.counters.since(before.counters)
    meter = after.meter - before.meter
    costs = {f"cpu_ms:{role}": spent * MS / steps for role, spent in cpu.items()}
    costs |= {
        field.name: getattr(counted, field.name) / steps for field in fields(counted)
    }
    costs["cpu_ms"] = sum(cpu.values()) * MS / steps
    costs["foreign_cores"] = foreign_cores(
        after.machine - before.machine,
        (*cpu.values(), meter),
        after.at - before.at,
    )
    return costs
