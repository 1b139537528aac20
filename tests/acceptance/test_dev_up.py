"""`dev.py up` as a person runs it: the whole system, stopped and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.dev import embedded
from config.dev.guard import Guard
from config.dev.layout import ROOT

pytestmark = pytest.mark.acceptance

TEST_ONLY = {"DATABASE_URL", "REDIS_URL", "CORE_SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
NAMES = {"postgres", "valkey", "web", "worker-cpu-1", "worker-io-1", "reconciler"}


def until(met: Callable[[], Any], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)  # noqa: TID251


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "dev.py"), *words]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in TEST_ONLY}


def dev(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command(*words), env=environment(), capture_output=True, text=True, check=False
    )


class Installation:
    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.output = folder / "output"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> subprocess.Popen[bytes]:
        """Start it, and return when it has introduced itself."""
        words = command("up", "--port", str(self.port), "--data", str(self.data))
        with self.output.open("wb") as output:
            self.process = process = subprocess.Popen(  # noqa: S603
                words, env=environment(), stdout=output, stderr=subprocess.STDOUT
            )
        until(lambda: "Ctrl-C" in self.said or process.poll() is not None)
        assert process.poll() is None, self.said
        return process

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return found

    def processes(self) -> list[str]:
        """List what runs for this installation, pool children included."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pgid=,stat=,args="],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        groups = {str(pid) for pid in self.seen}
        rows = (line.split(None, 2) for line in listed.stdout.splitlines())
        alive = [row for row in rows if not row[1].startswith("Z")]
        return [
            args
            for group, _, args in alive
            if group in groups or str(self.data) in args
        ]

    seen: frozenset[int] = frozenset()

    def remember(self) -> None:
        """Note the process groups, to look for them when they should be gone."""
        self.seen = self.seen | frozenset(self.run["pids"].values())

    def get(self, path: str) -> tuple[int, bytes]:
        run = self.run
        request = urllib.request.Request(  # noqa: S310
            run["url"] + path, headers={"Authorization": f"Bearer {run['api_key']}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=40)
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    guard = Guard()
    yield embedded.temporary(guard)
    guard.close()


@pytest.fixture(scope="module")
def installation(folder: Path) -> Iterator[Installation]:
    installation = Installation(folder)
    installation.up()
    yield installation
    installation.end()


def test_it_says_how_to_reach_it(installation: Installation) -> None:
    run = installation.run
    for part in (run["url"], run["api_key"], run["admin"]["password"], "first answer"):
        assert part in installation.said


def test_the_run_file_is_private_and_names_every_process(
    installation: Installation,
) -> None:
    path = installation.data / "run.json"
    assert path.stat().st_mode & 0o777 == 0o600
    run = installation.run
    assert set(run) >= {"url", "api_key", "admin", "database_url", "redis_url", "pids"}
    assert set(run["admin"]) == {"username", "password"}
    assert set(run["pids"]) == NAMES


def test_the_api_answers_to_the_printed_key(installation: Installation) -> None:
    assert installation.get("/healthz")[0] == 200
    assert installation.get("/api/v1/executions/")[0] == 200


def test_the_demo_execution_completes(installation: Installation) -> None:
    until(lambda: "Demo" in installation.said)
    line = next(line for line in installation.said.splitlines() if "Demo" in line)
    assert " completed in " in line


def test_a_second_start_on_the_same_data_says_where_the_first_one_runs(
    installation: Installation,
) -> None:
    other = dev("up", "--data", str(installation.data), "--port", str(free_port()))
    assert other.returncode == 1
    assert installation.run["url"] in other.stderr


def test_a_taken_port_is_answered_with_a_command_that_works(
    installation: Installation, folder: Path
) -> None:
    elsewhere = folder / "elsewhere"
    taken = dev("up", "--data", str(elsewhere), "--port", str(installation.port))
    assert taken.returncode == 1
    assert f"python3 dev.py up --data {elsewhere} --port " in taken.stderr


def test_the_data_of_a_running_installation_are_not_deleted(
    installation: Installation,
) -> None:
    assert dev("reset", "--data", str(installation.data), "--yes").returncode == 1
    assert installation.get("/healthz")[0] == 200


def test_the_doctor_sees_it_running(installation: Installation) -> None:
    found = dev("doctor", "--data", str(installation.data), "--port", str(free_port()))
    assert found.returncode == 0, found.stdout
    assert f"running at {installation.run['url']}" in found.stdout


def test_a_management_command_finds_the_running_installation(
    installation: Installation,
) -> None:
    found = dev("manage", "--data", str(installation.data), "doctor")

    assert found.returncode == 0, found.stdout + found.stderr
    assert "reconciler  at work" in found.stdout


@pytest.mark.parametrize("name", ["web", "worker-cpu-1", "valkey", "postgres"])
def test_a_process_that_was_killed_is_back(
    installation: Installation, name: str
) -> None:
    before = installation.run["pids"][name]
    os.kill(before, signal.SIGKILL)
    until(lambda: installation.run["pids"].get(name, before) != before)
    assert f"{name} was killed by SIGKILL" in installation.said

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return installation.get("/api/v1/executions/")[0] == 200
        return False

    until(answers)


def test_nothing_is_left_and_nothing_is_lost(installation: Installation) -> None:
    """Kill the supervisor, start again, stop in order."""
    first = installation.run
    installation.remember()
    killed = installation.process
    assert killed is not None
    killed.kill()
    until(lambda: not installation.processes(), 40)

    # Not yet reaped, so the first one's process number still looks alive.
    process = installation.up()
    killed.wait()
    second = installation.run
    assert (second["api_key"], second["admin"]) == (first["api_key"], first["admin"])
    assert installation.get("/api/v1/executions/")[0] == 200
    installation.remember()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=40) == 0
    assert installation.processes() == []
    assert not (installation.data / "run.json").exists()


def test_the_data_can_be_deleted_once_it_is_stopped(installation: Installation) -> None:
    installation.end()
    assert dev("reset", "--data", str(installation.data), "--yes").returncode == 0
    assert not installation.data.exists()


def test_a_management_command_says_when_nothing_runs(tmp_path: Path) -> None:
    found = dev("manage", "--data", str(tmp_path), "doctor")

    assert found.returncode == 1
    assert "dev.py up" in found.stderr + found.stdout


def test_arguments_it_does_not_know_go_to_pytest() -> None:
    done = dev("test", "--version")
    assert done.returncode == 0, done.stderr
    assert "pytest" in done.stdout + done.stderr
    assert "ruff" not in done.stdout
