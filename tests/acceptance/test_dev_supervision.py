"""The supervisor and its guard over stand-in processes, killed in every way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.dev.guard import Guard
from config.dev.layout import ROOT
from config.dev.process import Child, Spec

pytestmark = pytest.mark.acceptance

# A child with a grandchild, as a worker with its pool; STUBBORN ones ignore SIGTERM.
STAND_IN = """
import os, pathlib, signal, subprocess, sys
name, how = sys.argv[1:3]
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(["sleep", "300"])
pids = pathlib.Path("pids") / f"{name}-{os.getpid()}"
pids.write_text(f"{os.getpid()} {grandchild.pid}")
signal.pause()
"""

# The supervisor as `up` uses it, over a process table of stand-ins.
SUPERVISE = """
import json, os, pathlib, sys
from config.dev.guard import Guard
from config.dev.process import Spec, SERVER_TIER
from config.dev.signals import Signals
from config.dev.supervisor import Supervisor
from config.dev.terminal import say
here = pathlib.Path.cwd()
signals = Signals(); signals.install()
guard = Guard()
def changed():
    (here / "new.json").write_text(json.dumps(supervisor.pids() | {"guard": guard.pid}))
    (here / "new.json").replace(here / "now.json")
supervisor = Supervisor(guard, signals, report=say, changed=changed)
for row in json.loads(sys.argv[1]):
    tier = {"tier": SERVER_TIER} if row.pop("server", False) else {}
    supervisor.start(Spec(
        env=dict(os.environ), cwd=here, log=here / "log", name=row["name"],
        command=tuple(row["command"]), grace=row.get("grace", 5.0), **tier))
changed()
say("supervising")
while not signals.stops:
    supervisor.tick()
supervisor.stop()
guard.close()
say("stopped")
"""


def until(met: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)  # noqa: TID251


def lives(pid: int) -> bool:
    """Tell a running process from a gone one and from a zombie."""
    listed = subprocess.run(  # noqa: S603
        ["ps", "-o", "stat=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


class Supervised:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pids").mkdir()
        (folder / "stand_in.py").write_text(STAND_IN)
        self.process: subprocess.Popen[str]

    def row(self, name: str, how: str = "willing", **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "command": [sys.executable, "stand_in.py", name, how],
            **more,
        }

    def start(self, *rows: dict[str, Any], processes: int | None = None) -> None:
        """Wait until all rows' stand-ins, two processes each, are there."""
        expected = 2 * len(rows) if processes is None else processes
        self.output = (self.folder / "output").open("w")
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", SUPERVISE, json.dumps(rows)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=self.output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        until(lambda: "supervising" in self.said)
        until(lambda: len(self.family) >= expected)

    @property
    def said(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def now(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.folder / "now.json").read_text())
        return found

    @property
    def family(self) -> list[int]:
        """All children and grandchildren that ever were."""
        notes = [path.read_text().split() for path in (self.folder / "pids").iterdir()]
        return [int(pid) for note in notes for pid in note]

    def none_is_left(self) -> bool:
        return not any(map(lives, [*self.family, self.now["guard"]]))

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.output.close()
        until(self.none_is_left)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    yield supervised
    supervised.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_leaves_no_process(
    supervised: Supervised, number: signal.Signals
) -> None:
    supervised.start(supervised.row("web"), supervised.row("worker"))
    supervised.process.send_signal(number)
    assert supervised.process.wait(timeout=15) == 0
    assert supervised.none_is_left()


def test_a_child_that_ignores_the_stop_signal_is_killed(supervised: Supervised) -> None:
    supervised.start(supervised.row("worker", "stubborn", grace=0.3))
    supervised.process.terminate()
    assert supervised.process.wait(timeout=15) == 0
    assert supervised.none_is_left()


def test_a_second_stop_signal_hurries(supervised: Supervised) -> None:
    supervised.start(supervised.row("worker", "stubborn", grace=600))
    supervised.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        supervised.process.wait(timeout=0.5)
    supervised.process.terminate()
    assert supervised.process.wait(timeout=15) == 0
    assert supervised.none_is_left()


def test_a_killed_supervisor_leaves_no_process(supervised: Supervised) -> None:
    supervised.start(
        supervised.row("postgres", server=True), supervised.row("worker", "stubborn")
    )
    supervised.process.kill()
    until(supervised.none_is_left)


def test_a_guard_that_was_killed_is_replaced(supervised: Supervised) -> None:
    supervised.start(supervised.row("worker", "stubborn"))
    first = supervised.now["guard"]
    os.kill(first, signal.SIGKILL)
    worker = supervised.now["worker"]
    os.kill(worker, signal.SIGKILL)  # its restart writes down the new guard
    until(lambda: supervised.now["worker"] != worker)
    assert supervised.now["guard"] != first
    until(lambda: len(supervised.family) >= 4)
    supervised.process.kill()
    until(supervised.none_is_left)


def test_a_dead_child_is_restarted_and_a_line_says_so(supervised: Supervised) -> None:
    supervised.start(supervised.row("web"), supervised.row("worker"))
    before = supervised.now
    os.kill(before["worker"], signal.SIGKILL)
    until(lambda: supervised.now["worker"] != before["worker"])
    assert "worker was killed by SIGKILL" in supervised.said
    assert "again in 1 s" in supervised.said
    assert supervised.now["web"] == before["web"]


def test_what_a_dead_child_leaves_behind_is_killed_too(supervised: Supervised) -> None:
    supervised.start(supervised.row("worker"))
    worker, grandchild = supervised.family
    os.kill(worker, signal.SIGKILL)
    until(lambda: not lives(grandchild))


def test_a_child_that_dies_at_once_is_given_more_and_more_time(
    supervised: Supervised,
) -> None:
    dying = [sys.executable, "-c", "raise SystemExit(3)"]
    supervised.start({"name": "dying", "command": dying}, processes=0)
    until(lambda: "again in 4 s" in supervised.said)
    assert supervised.said.count("dying exited with code 3") == 3


def test_a_guard_deletes_a_folder_even_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    program = (
        "import os, pathlib, sys\n"
        "from config.dev.guard import Guard\n"
        "Guard().remove_later(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, check=False
    )
    until(lambda: not folder.exists())


def test_a_guard_leaves_alone_what_it_was_told_to_forget(tmp_path: Path) -> None:
    guard = Guard()
    spec = Spec(
        name="sleeper",
        command=("sleep", "300"),
        env=dict(os.environ),
        cwd=tmp_path,
        log=tmp_path / "log",
    )
    child = Child(spec, guard, tied=False)
    guard.forget(child.pid)
    guard.close()
    assert child.poll() is None
    child.finish()
    assert child.poll() == -signal.SIGKILL
