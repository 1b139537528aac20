"""
One run: a fleet under load, struck as planned, healed, brought to rest, and judged.

Everything waits on events, so a stop signal ends it at any time; a fleet that is
stopped starts nothing any more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from config.dev.terminal import StoppedError, say
from tests.chaos.client import Client
from tests.chaos.faults import Hit, Strike
from tests.chaos.fleet import ChaosFleet, NothingToStrike
from tests.chaos.load import Load
from tests.chaos.plan import Fault
from tests.chaos.verbs import Verbs

CLIENTS = 2
_REST_S = 180.0
_STRIKE_S = 120.0  # until a fault is over and what it took away is back

_OPEN = "SELECT count(*) FROM executions_execution WHERE finished_at IS NULL"


@dataclass(slots=True)
class Run:
    """`quiet` ends load and verbs, `over` everything; `broken` is what went wrong."""

    fleet: ChaosFleet
    seed: int
    hits: list[Hit] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    quiet: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    client: Client = field(init=False)
    load: Load = field(init=False)
    verbs: Verbs = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = Client.of(self.fleet)
        self.load = Load(self.fleet, self.client, self.seed, self.quiet)
        self.verbs = Verbs(self.fleet, self.client, self.seed, self.quiet)

    def go(self, faults: list[Fault], seconds: float) -> None:
        """Strike for so many seconds, then heal, and wait until all is at rest."""
        self.load.prepare()
        for work in (*[self.load.run] * CLIENTS, self.verbs.run, self._supervise):
            self._start(work)
        began = time.monotonic()
        strikes = [self._strike_at(fault, began) for fault in faults]
        self.over.wait(began + seconds - time.monotonic())
        for strike in strikes:
            strike.join(_STRIKE_S)
        self.quiet.set()
        self._heal()
        self._come_to_rest()

    def end(self) -> None:
        """End all threads; for a while, since a stopped fleet ends what is left."""
        self.quiet.set()
        self.over.set()
        for thread in self._threads:
            thread.join(2)

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._kept(work), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _kept(self, work: Callable[[], None]) -> Callable[[], None]:
        """Tell an error in a thread as something that went wrong."""

        def run() -> None:
            with self._noted(work.__qualname__):
                work()

        return run

    @contextlib.contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoppedError:
            pass
        except Exception as error:  # noqa: BLE001  (told at the end)
            if not self.over.is_set():
                self.broken.append(f"{what}: {type(error).__name__}: {error}")

    def _supervise(self) -> None:
        while not self.quiet.wait(0.5):
            self.fleet.supervise()

    def _strike_at(self, fault: Fault, began: float) -> threading.Thread:
        def strike() -> None:
            if not self.over.wait(began + fault.at - time.monotonic()):
                with self._noted(fault.kind):
                    self._strike(fault)

        return self._start(strike)

    def _strike(self, fault: Fault) -> None:
        try:
            hit = Strike(fleet=self.fleet, fault=fault, over=self.over).do()
        except NothingToStrike:
            say(f"  {fault.at:6.1f} s  {fault.kind:<16} left out: nothing to strike")
            return
        self.hits.append(hit)
        away = (hit.returned - hit.began).total_seconds()
        words = f"{hit.target}, {away:.1f} s, {len(hit.steps)} steps, {hit.note}"
        say(f"  {fault.at:6.1f} s  {fault.kind:<16} {words.rstrip(', ')}")

    def _heal(self) -> None:
        with self._noted("healing"):
            self.fleet.heal()

    def _come_to_rest(self) -> None:
        """Resume and settle until every execution is over; not for ever."""
        deadline = time.monotonic() + _REST_S
        while self.fleet.query(_OPEN)[0][0] and time.monotonic() < deadline:
            self.verbs.resume_all()
            self.verbs.settle()
            if self.over.wait(0.5):
                raise StoppedError
