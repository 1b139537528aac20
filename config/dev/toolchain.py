"""
uv, and the locked dependencies in `.venv`, without touching the system's Python.

A stamp in `.venv` remembers what was installed, so a later start skips all this.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from config.dev.layout import ROOT, TOOLS, VENV
from config.dev.process import dying_with_parent
from config.dev.terminal import DevError, say

PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".core-orchestration.json"
RUNNING = ("embedded",)
EVERYTHING = ("embedded", "test", "lint", "bench", "dev")
OLDEST_UV = (0, 6)


def site_packages() -> Path:
    found = sorted((VENV / "lib").glob("python*/site-packages"))
    return found[-1] if found else VENV / "lib" / "site-packages"


def ensure(groups: Sequence[str], check: Callable[[], None]) -> Path:
    """Install what is missing; returns the Python that has it."""
    if not is_installed(groups):
        uv = find_uv() or _fetch_uv(check)
        _discard_broken_venv()
        _sync(uv, groups, check)
        STAMP.write_text(json.dumps(_stamp(groups)))
    return PYTHON


def is_installed(groups: Sequence[str]) -> bool:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    wanted = _stamp(groups)
    has_groups = set(groups) <= set(stamp.pop("groups", ()))
    same = all(wanted[key] == stamp.get(key) for key in wanted if key != "groups")
    return has_groups and same and os.access(PYTHON, os.X_OK)


def _stamp(groups: Sequence[str]) -> dict[str, object]:
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return {
        "groups": list(groups),
        "lock": digest.hexdigest(),
        "venv": str(VENV),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }


def find_uv() -> str | None:
    """Return a uv that understands our lock file: on PATH, or fetched earlier."""
    own = TOOLS / "uv" / "bin" / "uv"
    for candidate in (shutil.which("uv"), str(own) if own.exists() else None):
        if candidate and _uv_version(candidate) >= OLDEST_UV:
            return candidate
    return None


def _uv_version(uv: str) -> tuple[int, int]:
    try:
        done = subprocess.run(  # noqa: S603
            [uv, "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return (0, 0)
    numbers = re.search(r"(\d+)\.(\d+)", done.stdout)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def has_pip() -> bool:
    probe = [sys.executable, "-c", "import pip"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603


def _fetch_uv(check: Callable[[], None]) -> str:
    if not has_pip():
        raise DevError(
            f"{sys.executable} has no pip, which is needed once to fetch uv. "
            "Install it (Debian, Ubuntu: apt install python3-pip) or put uv on PATH."
        )
    say("  uv            fetching it once, into .tools")
    TOOLS.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="uv-", dir=TOOLS))
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-warn-script-location",
    )
    env = {
        "PIP_USER": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    try:
        if _run((*pip, "--target", str(draft), "uv"), env, check) != 0:
            raise DevError("pip could not fetch uv; its message is above.")
        shutil.rmtree(TOOLS / "uv", ignore_errors=True)
        draft.rename(TOOLS / "uv")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return str(TOOLS / "uv" / "bin" / "uv")


def _discard_broken_venv() -> None:
    """Drop an environment whose Python does not run, as after a copy of the tree."""
    if not (VENV / "pyvenv.cfg").exists():
        return
    try:
        works = subprocess.run([PYTHON, "-c", ""], check=False).returncode == 0  # noqa: S603
    except OSError:
        works = False
    if not works:
        shutil.rmtree(VENV)


def _sync(uv: str, groups: Sequence[str], check: Callable[[], None]) -> None:
    say("  dependencies  installing the locked versions into .venv")
    # What a developer has installed besides stays, unless everything is asked for.
    which: tuple[str, ...] = ("--all-groups",)
    if tuple(groups) != EVERYTHING:
        named = (word for group in groups for word in ("--group", group))
        which = ("--no-default-groups", "--inexact", *named)
    python = getattr(sys, "_base_executable", "") or sys.executable
    env = {"UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(VENV)}
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        # Else every process of every start would compile all that it imports.
        env["UV_COMPILE_BYTECODE"] = "1"
    if not os.access(Path.home(), os.W_OK):
        env.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    command = (uv, "sync", "--frozen", "--quiet", "--python", python, *which)
    if _run(command, env, check) != 0:
        raise DevError("uv could not install the dependencies; its message is above.")


def _run(
    command: Sequence[str], env: Mapping[str, str], check: Callable[[], None]
) -> int:
    """Run to the end in the project's folder; a stop signal ends the tool, too."""
    outer = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    tool = subprocess.Popen(  # noqa: S603
        command,
        cwd=ROOT,
        env={**outer, **env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with_parent(signal.SIGTERM),
    )
    try:
        while True:
            try:
                return tool.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                check()
    finally:
        if tool.poll() is None:
            os.killpg(tool.pid, signal.SIGKILL)
            tool.wait()
