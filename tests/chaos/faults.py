"""How each kind of fault is done to a fleet, and what it struck."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.acceptance.system import until
from tests.chaos.fleet import POSTGRES, VALKEY, ChaosFleet, Work
from tests.chaos.plan import Fault
from tests.faults import queues
from tests.faults.processes import CPU, CPU_2, IO, IO_2, RECONCILER, WEB

WORKERS = (CPU, CPU_2, IO, IO_2)
_MOST_COPIES = 300
_SHUTDOWN_S = 40.0

_UNDER_WAY = """
SELECT e.id::text FROM executions_execution e
WHERE e.status IN ('pending', 'running') AND e.cancel_request IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """
    A fault that was done: from when to when something was away.

    `steps` ran in what was killed or frozen; `executions` were under way when a
    server came back.
    """

    fault: Fault
    target: str
    began: datetime
    returned: datetime
    steps: frozenset[tuple[str, str]] = frozenset()
    executions: frozenset[str] = frozenset()
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Strike:
    """One fault being done; `over` ends its waits early."""

    fleet: ChaosFleet
    fault: Fault
    over: threading.Event

    def wait(self) -> None:
        self.over.wait(self.fault.seconds)

    def do(self) -> Hit:
        """Do it; raises NothingToStrike when its targets are taken."""
        targets, act = ACTS[self.fault.kind]
        with self.fleet.reserved(targets, self.fault.pick) as target:
            return act(self, target)

    def hit(self, target: str, began: datetime, **more: object) -> Hit:
        fields = {"returned": now(), **more}
        return Hit(fault=self.fault, target=target, began=began, **fields)  # type: ignore[arg-type]

    def under_way(self) -> frozenset[str]:
        return frozenset(row[0] for row in self.fleet.look(_UNDER_WAY) or ())


def now() -> datetime:
    return datetime.now(UTC)


def _steps(work: list[Work]) -> frozenset[tuple[str, str]]:
    return frozenset((each.execution, each.path) for each in work)


def _kill_child(strike: Strike, name: str) -> Hit:
    """Kill a child of a prefork worker, one that works if there is one."""
    fleet = strike.fleet
    work = fleet.work_of(name)
    pids = sorted({each.pid for each in work} or _children(strike, name))
    pid = pids[int(strike.fault.pick * len(pids))]
    os.kill(pid, signal.SIGKILL)
    mine = [each for each in work if each.pid == pid]
    return strike.hit(name, now(), steps=_steps(mine))


def _children(strike: Strike, name: str) -> list[int]:
    """Wait for a worker that has been cut off to have leases again."""
    found: list[int] = until(lambda: strike.fleet.pids(name), what=f"leases of {name}")
    return found


def _kill(strike: Strike, name: str) -> Hit:
    """Kill a process with all of its children, and start another."""
    work = strike.fleet.work_of(name)
    strike.fleet.kill(name)
    began = now()
    strike.wait()
    strike.fleet.restart(name)
    return strike.hit(name, began, steps=_steps(work))


def _deploy(strike: Strike, name: str) -> Hit:
    """Ask a worker to end, and start its successor when it has."""
    work = strike.fleet.work_of(name)
    began = now()
    code = strike.fleet.terminate(name, seconds=_SHUTDOWN_S)
    note = "" if code is not None else f"still ran {_SHUTDOWN_S:.0f} s after SIGTERM"
    strike.wait()
    strike.fleet.restart(name)
    return strike.hit(name, began, steps=_steps(work), note=note)


def _freeze(strike: Strike, name: str) -> Hit:
    work = strike.fleet.work_of(name)
    strike.fleet.freeze(name)
    began = now()
    strike.wait()
    strike.fleet.thaw(name)
    return strike.hit(name, began, steps=_steps(work))


def _wipe_valkey(strike: Strike, name: str) -> Hit:
    return _away(strike, name, empty=True)


def _stop_valkey(strike: Strike, name: str) -> Hit:
    return _away(strike, name, empty=False)


def _away(strike: Strike, name: str, *, empty: bool) -> Hit:
    valkey = strike.fleet.valkey
    valkey.kill()
    began = now()
    strike.wait()
    executions = strike.under_way()
    valkey.start(empty=empty)
    return strike.hit(name, began, executions=executions)


def _stop_postgres(strike: Strike, name: str) -> Hit:
    strike.fleet.halt_postgres()
    began = now()
    strike.wait()
    strike.fleet.postgres.start()
    return strike.hit(name, began)


def _duplicate(strike: Strike, name: str) -> Hit:
    """Copy what is in the queues, again and again for some seconds."""
    began, copied = now(), 0
    for _ in range(int(strike.fault.seconds * 20)):
        if copied > _MOST_COPIES or strike.over.wait(0.05):
            break
        copied += queues.copy_messages(strike.fleet.env["REDIS_URL"], times=1)
    return strike.hit(name, began, note=f"{copied} copies")


Act = Callable[[Strike, str], Hit]

ACTS: Mapping[str, tuple[tuple[str, ...], Act]] = {
    "kill_child": ((CPU, CPU_2), _kill_child),
    "kill_worker": (WORKERS, _kill),
    "deploy": (WORKERS, _deploy),
    "freeze_short": ((*WORKERS, RECONCILER, WEB), _freeze),
    "freeze_long": ((*WORKERS, RECONCILER, WEB), _freeze),
    "wipe_valkey": ((VALKEY,), _wipe_valkey),
    "stop_valkey": ((VALKEY,), _stop_valkey),
    "stop_postgres": ((POSTGRES,), _stop_postgres),
    "kill_reconciler": ((RECONCILER,), _kill),
    "kill_web": ((WEB,), _kill),
    "duplicate": ((VALKEY,), _duplicate),
}
