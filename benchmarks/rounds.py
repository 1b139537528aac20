"""
The rounds: in each, every system in turn is started, does each work, and stops.

So all systems meet the same states of a machine that others may use, too, and no
two of them are ever up at once. Who begins changes from round to round.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import figures, works
from benchmarks.driver import Driver, DriverError
from benchmarks.figures import Repetition
from benchmarks.measuring import meter, statements
from benchmarks.measuring.counters import rest, settle
from benchmarks.measuring.statements import Tally
from benchmarks.protocol.serving import pss_mb
from benchmarks.servers import Servers
from benchmarks.systems import PROTOCOL, System
from benchmarks.venvs import DROPPED, Installed
from benchmarks.works import Case
from config.dev.terminal import say

COUNTED = {"work": "chain", "executions": 20, "length": 10}
BREATH_S = 0.2  # between repeats: what the last one has left behind ends in it
# Settings of this project in the shell would change what is measured.
PREFIXES = ("CORE_", "DJANGO_", "DATABASE_", "REDIS_", "BENCH_")


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything that was measured so far."""

    repetitions: list[Repetition] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    statements: dict[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """`systems` are the ones that could be installed."""

    servers: Servers
    systems: Mapping[str, tuple[System, Installed]]
    cases: Sequence[Case]
    logs: Path
    quick: bool
    results: Results

    def run(self, count: int) -> None:
        names = [name for name in self.systems if self._cases(self.systems[name][0])]
        for number in range(count):
            for name in rotated(names, number):
                say(f"round {number + 1} of {count}: {name}")
                self._turn(number + 1, *self.systems[name])

    def _turn(self, number: int, system: System, installed: Installed) -> None:
        """Let one system have the machine; what fails is told and noted."""
        cases = self._cases(system)
        try:
            with self._driver(system, installed) as driver:
                self.results.versions[system.name] = driver.ready.get("versions", {})
                if not self.quick:
                    rest()
                for case in cases:
                    self._keep(self._repetition(number, system, driver, case))
                if number == 1:
                    self._count_statements(system, driver)
        except DriverError as error:
            done = {each.case for each in self._of(number, system)}
            for case in (case for case in cases if case.key not in done):
                self._keep(_failed(number, system, case, str(error)))
        finally:
            self.servers.drop_database(system.database)

    def _cases(self, system: System) -> list[Case]:
        return [case for case in self.cases if case.key in system.cases]

    def _of(self, number: int, system: System) -> Iterator[Repetition]:
        for each in self.results.repetitions:
            if (each.round, each.system) == (number, system.name):
                yield each

    def _keep(self, repetition: Repetition) -> None:
        self.results.repetitions.append(repetition)
        say(f"  {repetition.case:<18}{told(repetition)}")

    @contextmanager
    def _driver(self, system: System, installed: Installed) -> Iterator[Driver]:
        scratch = self.servers.folder / "scratch" / system.name
        scratch.mkdir(parents=True, exist_ok=True)
        self.servers.flush_valkey()
        env = _outer_environment() | {
            "BENCH_DATABASE_URL": self.servers.fresh_database(system.database),
            "BENCH_REDIS_URL": self.servers.redis_url,
            "BENCH_REDIS_SOCKET": str(self.servers.redis_socket),
            "BENCH_SCRATCH": str(scratch),
            "PYTHONPATH": str(PROTOCOL),
        }
        log = self.logs / f"{system.name}.log"
        with Driver(system, installed, env, log=log, guard=self.servers.guard) as one:
            yield one

    def _repetition(
        self, number: int, system: System, driver: Driver, case: Case
    ) -> Repetition:
        request = case.asked(quick=self.quick)
        steps = works.steps(request)
        if trouble := _trouble(driver.ask(case.warming(quick=self.quick))):
            return _failed(number, system, case, trouble)
        roots = meter.Roots(driver=driver.pid, named=driver.roots, own=os.getpid())
        before = meter.Reading.now(self.servers, system.database, roots)
        with _memory(request, driver.roots) as memory:
            answers = _repeated(driver, request, case.repeats)
        if trouble := _trouble(answers[-1]):
            return _failed(number, system, case, trouble)
        after = meter.Reading.now(self.servers, system.database, roots)
        found = figures.of_answers(answers, steps)
        found |= memory | meter.figures(before, after, steps * case.repeats)
        return Repetition(
            round=number, system=system.name, case=case.key, figures=found
        )

    def _count_statements(self, system: System, driver: Driver) -> None:
        """Do a small chain again, untimed, while every statement is logged."""
        settle()
        with statements.logged(self.servers, system.database) as found:
            driver.ask(COUNTED)
        if found and found[0].count:
            self.results.statements[system.name] = found[0]


def _repeated(
    driver: Driver, request: Mapping[str, Any], repeats: int
) -> list[dict[str, Any]]:
    """Ask for the same again and again; the first trouble ends it."""
    answers = [driver.ask(request)]
    while len(answers) < repeats and not _trouble(answers[-1]):
        time.sleep(BREATH_S)
        answers.append(driver.ask(request))
    return answers


def _trouble(answer: Mapping[str, Any]) -> str:
    """Say why there is no figure; nothing if there is one."""
    if "seconds" in answer:
        return ""
    return str(answer.get("unsupported") or answer.get("error") or answer)


def rotated(names: Sequence[str], number: int) -> list[str]:
    """Let another system begin each round."""
    first = number % len(names) if names else 0
    return [*names[first:], *names[:first]]


def told(repetition: Repetition) -> str:
    """Say in a line what a repetition gave."""
    if repetition.trouble:
        return repetition.trouble.strip().splitlines()[0]
    main = works.BY_KEY[repetition.case].figure
    found = repetition.figures
    foreign = found["foreign_cores"]
    return f"{found[main]:10.2f} {main:<9} foreign CPU {foreign:.2f} cores"


def _failed(number: int, system: System, case: Case, trouble: str) -> Repetition:
    return Repetition(round=number, system=system.name, case=case.key, trouble=trouble)


def _outer_environment() -> dict[str, str]:
    return {
        key: value
        for key, value in os.environ.items()
        if key not in DROPPED and not key.startswith(PREFIXES)
    }


@contextmanager
def _memory(
    request: Mapping[str, Any], roots: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, float]]:
    """Look at what every role takes while all executions wait."""
    found: dict[str, float] = {}

    def look() -> None:
        found.update({f"memory_mb:{role}": pss_mb(roots[role]) for role in roots})
        found["memory_mb:all"] = sum(found.values())

    timer = threading.Timer(request.get("seconds", 0) * 0.75, look)
    if request["work"] == "wait":
        timer.start()
    try:
        yield found
    finally:
        timer.cancel()
        if timer.ident:
            timer.join()
