from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import driver as module
from benchmarks.driver import Driver, DriverError
from benchmarks.systems import PROTOCOL, System
from benchmarks.venvs import Installed
from config.dev.guard import Guard

READY = """
import json, os, subprocess, sys
from serving import serve
def die(): os._exit(3)
def babble():
    os.write(9, b"no answer at all\\n")
    return {}
os.dup2(1, 9)
sitter = subprocess.Popen(["sleep", "300"], start_new_session=True)
serve(
    {"echo": lambda **words: words, "die": die, "babble": babble,
     "sitter": lambda: {"pid": sitter.pid}},
    {}, {},
)
"""


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


def driver(folder: Path, guard: Guard, text: str = READY) -> Driver:
    (folder / "driver.py").write_text(text)
    system = System(name="it", title="It", folder=folder, cases=())
    installed = Installed(python=Path(sys.executable))
    env = {**os.environ, "PYTHONPATH": str(PROTOCOL)}
    return Driver(system, installed, env, log=folder / "log", guard=guard)


def is_alive(pid: int) -> bool:
    """Tell whether it runs; a zombie that nobody reaps does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def has_ended(pid: int) -> bool:
    """Give the kernel a moment to end what was killed."""
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return not is_alive(pid)


def test_it_answers_and_ends_with_its_input(tmp_path: Path, guard: Guard) -> None:
    with driver(tmp_path, guard) as running:
        assert running.ask({"work": "echo", "length": 5}) == {"length": 5}
    assert not is_alive(running.pid)


def test_what_it_leaves_behind_is_killed(tmp_path: Path, guard: Guard) -> None:
    with driver(tmp_path, guard) as running:
        left = running.ask({"work": "sitter"})["pid"]
        assert is_alive(left)
    assert has_ended(left)


def test_one_that_dies_is_told_with_the_end_of_its_log(
    tmp_path: Path, guard: Guard
) -> None:
    with (
        driver(tmp_path, guard) as running,
        pytest.raises(DriverError, match="has ended"),
    ):
        running.ask({"work": "die"})


def test_what_a_dead_one_leaves_behind_is_killed(tmp_path: Path, guard: Guard) -> None:
    with driver(tmp_path, guard) as running:
        left = running.ask({"work": "sitter"})["pid"]
        os.kill(running.pid, signal.SIGKILL)
    assert has_ended(left)


def test_one_that_does_not_start_shows_why(tmp_path: Path, guard: Guard) -> None:
    dead = driver(tmp_path, guard, "raise SystemExit('no such server')")
    with pytest.raises(DriverError, match="no such server"), dead:
        pass
    assert not is_alive(dead.pid)


def test_words_that_are_no_answer_are_shown(tmp_path: Path, guard: Guard) -> None:
    with (
        driver(tmp_path, guard) as running,
        pytest.raises(DriverError, match="no answer at all"),
    ):
        running.ask({"work": "babble"})


def test_silence_has_a_limit(
    tmp_path: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_S", 0.2)
    monkeypatch.setattr(module, "STOP_S", 0.2)
    silent = driver(tmp_path, guard, "import time; time.sleep(300)")
    with pytest.raises(DriverError, match=r"within 0\.2 s"), silent:
        pass
    assert not is_alive(silent.pid)
