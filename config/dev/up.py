"""`dev.py up`: everything from nothing to a running system, and down again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.dev import bootstrap, embedded, ports, runfile, shelter, toolchain, web
from config.dev.account import unprivileged
from config.dev.demo import Demo
from config.dev.environment import for_application, given
from config.dev.guard import Guard
from config.dev.layout import DEFAULT_DATA, Data, shown
from config.dev.process import Child, ending
from config.dev.signals import Signals
from config.dev.supervisor import Supervisor
from config.dev.table import Application, processors
from config.dev.terminal import DevError, StoppedError, say, tail

ANSWER_SECONDS = 120.0
STOPPED_EARLY = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    port: int
    data: Path
    workers: int
    demo: bool

    @property
    def command(self) -> str:
        """Repeat the command as typed, without the port."""
        words = ["python3 dev.py up"]
        if self.data != DEFAULT_DATA:
            words.append(f"--data {shown(self.data)}")
        if self.workers != 1:
            words.append(f"--workers {self.workers}")
        return " ".join(words if self.demo else [*words, "--no-demo"])

    @property
    def url(self) -> str:
        return f"http://{ports.HOST}:{self.port}"


def up(options: Options) -> int:
    started = time.monotonic()
    signals = Signals()
    signals.install()
    data = Data(options.data)
    data.create()
    with runfile.held(data, signals.wait) as lock, _guarded(lock) as guard:
        ports.require_free(options.port, options.command)
        return Up(options, data, signals, guard, started).run()


@contextlib.contextmanager
def _guarded(lock: int) -> Iterator[Guard]:
    guard = Guard(keep_open=(lock,))
    try:
        yield guard
    finally:
        guard.close()


class Up:
    """One run. `started` is the clock at the command's start."""

    def __init__(
        self,
        options: Options,
        data: Data,
        signals: Signals,
        guard: Guard,
        started: float,
    ) -> None:
        self._options = options
        self._data = data
        self._signals = signals
        self._guard = guard
        self._started = started
        self._run: dict[str, Any] | None = None
        self._supervisor = Supervisor(
            guard, signals, report=say, changed=self._write_run_file
        )

    def run(self) -> int:
        try:
            demo = self._start()
            while not self._signals.stops:
                self._supervisor.tick()
                demo.look()
        except StoppedError:
            return STOPPED_EARLY
        else:
            return 0
        finally:
            self._stop()

    def _start(self) -> Demo:
        say("C.O.R.E. Orchestration")
        python = toolchain.ensure(toolchain.RUNNING, self._signals.check)
        servers = self._start_servers()
        application = self._application(python, servers)
        self._step("database", "migrating and seeding")
        spec = application.bootstrap(demo=self._options.demo)
        seed = bootstrap.bootstrap(spec, self._guard, self._signals.check)
        self._start_processes(application)
        self._run = self._described(seed, servers)
        self._write_run_file()
        self._introduce(seed)
        return Demo(self._options.url, seed.api_key, seed.demo_execution_id)

    def _step(self, name: str, text: str) -> None:
        say(f"  {name:<13} {text}")
        self._signals.check()

    def _start_servers(self) -> embedded.Servers:
        settings = given()
        data = self._data
        place = embedded.Place(
            site_packages=toolchain.site_packages(),
            postgres=data.postgres
            if settings.get("DATABASE_URL")
            else shelter.postgres_folder(data, unprivileged()),
            valkey=data.valkey,
            logs=data.logs,
            durable=True,
            tied=True,
        )
        servers = embedded.servers(settings, place, self._guard)
        for running in servers.running:
            self._step(running.server.name, "starting")
            running.start(check=self._signals.check)
            self._supervisor.adopt(running.child, running.server.prepare)
        return servers

    def _application(self, python: Path, servers: embedded.Servers) -> Application:
        return Application(
            python=python,
            data=self._data,
            env=for_application(
                given(),
                url=self._options.url,
                secret_key=self._data.secret_key(),
                encryption_key=self._data.encryption_key(),
                database_url=servers.database_url,
                redis_url=servers.redis_url,
            ),
            port=self._options.port,
            workers=self._options.workers,
            processors=processors(),
        )

    def _start_processes(self, application: Application) -> None:
        """
        Start them all, the web process first.

        Each one is busy for seconds with its imports; as many as there are
        processors begin at once, and the others when the web process answers.
        """
        specs = application.specs()
        self._step("processes", ", ".join(spec.name for spec in specs))
        at_once = application.processors
        children = [self._supervisor.start(spec) for spec in specs[:at_once]]
        self._await_answer(children[0])
        for spec in specs[at_once:]:
            self._supervisor.start(spec)

    def _await_answer(self, child: Child) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        log = child.spec.log
        while not web.answers(self._options.url):
            self._signals.check()
            if (code := child.poll()) is not None:
                raise DevError(
                    f"web {ending(code)}. The end of {shown(log)}:\n{tail(log)}"
                )
            if time.monotonic() > deadline:
                raise DevError(
                    f"web gave no answer in {ANSWER_SECONDS:.0f} s. "
                    f"The end of {shown(log)}:\n{tail(log)}"
                )
            self._signals.wait(0.05)
        seconds = time.monotonic() - self._started
        self._step("web", f"first answer after {seconds:.1f} s")

    def _described(
        self, seed: bootstrap.Seed, servers: embedded.Servers
    ) -> dict[str, Any]:
        return {
            "url": self._options.url,
            "api_key": seed.api_key,
            "admin": {"username": seed.username, "password": seed.password},
            "database_url": servers.database_url,
            "redis_url": servers.redis_url,
            "pid": os.getpid(),
        }

    def _write_run_file(self) -> None:
        if self._run is not None:
            runfile.write(self._data, {**self._run, "pids": self._supervisor.pids()})

    def _introduce(self, seed: bootstrap.Seed) -> None:
        url = self._options.url
        say()
        say(f"  Open      {url}/")
        say(f"  Login     {seed.username} / {seed.password}")
        say(f"  API key   {seed.api_key}")
        say(f"  Logs      {shown(self._data.logs)}/*.log")
        say(f'  Try       curl -H "Authorization: Bearer {seed.api_key}" \\')
        say(f"                 {url}/api/v1/executions/")
        say("  Stop      Ctrl-C")
        say()

    def _stop(self) -> None:
        self._run = None
        self._data.run_file.unlink(missing_ok=True)
        say("  stopping")
        self._supervisor.stop()
        say("  stopped; the data stay for the next start")
